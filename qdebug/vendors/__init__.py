"""What is particular to each toolchain, one folder each; what all of them share stands here.

A folder holds ``VENDOR``, a record that names its parts: how the toolchain writes preprocessing
(``dialect.py``), its words for a fix (``advice.py``) and its lines of the manual (``manual.md``).
Folders are found by being here, those of other packages through the entry point group
``qdebug.vendors``. No folder imports another one's.
"""
