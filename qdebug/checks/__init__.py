"""The checks: what is wrong, why, and what to do.

Each check is one ``Check`` in a module of its family; being there is enough to be run
(``registry``). Those of other packages come by the entry-point group ``qdebug.checks``. A check
that crashes becomes a finding with status ``error``, never the end of the run.
"""

from qdebug.checks.check import Check, CheckContext

__all__ = ["Check", "CheckContext"]
