"""The reading of the output: a board's final answers against qdebug's own decoding.

``predictions`` reads what the board's program answered. ``watch`` keeps what the models' outputs
hold of each picture, as read rightly and as read by the usual mistakes, and at the end the modules
of the tasks (``boxes``, ``labels``, ``texts``) find which reading the answers were made by.
"""
