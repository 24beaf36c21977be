"""The checks: what is wrong, why, and what to do.

Four floors: what a check is and what it may look at (``check``, ``context``), facts that several
checks need (``facts``), the checks, one kind of finding (or one close family) a file named after
it, and ``registry``, which runs them all: a ``Check`` in a module here is enough to be run. Those
of other packages come by the entry-point group ``qdebug.checks``. A check that crashes becomes a
finding with status ``error``, never the end of the run.
"""

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer, join_layers

__all__ = ["Check", "CheckContext", "JoinedLayer", "join_layers"]
