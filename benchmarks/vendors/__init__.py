"""Do the vendors' own programs take what qdebug writes, and does it do there what it should?

Each program runs in an environment of its own that is given; none is a dependency of this project.
"""
