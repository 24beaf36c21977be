"""The checks: what is wrong, why, and what to do.

Four floors: what a check is and what it may look at (``check``, ``context``), facts that several
checks need (``facts``), the checks, one kind of finding (or one close family) a file named after
it, and ``registry``, which runs them all: a ``Check`` in a module here is enough to be run. Those
of other packages come by the entry-point group ``qdebug.checks``. A check that crashes becomes a
finding with status ``error``, never the end of the run.

Every number that decides something says where it comes from. Those "by judgement" were halved and
doubled: where no row is named, no finding of the sample classifiers, nor of the faults that
``benchmarks.faults`` plants into one, becomes better or worse by it.
"""

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer, join_layers

__all__ = ["Check", "CheckContext", "JoinedLayer", "join_layers"]
