"""The checks: what is wrong, why, and what to do.

Each check is one ``Check`` in a module of its family, listed under the entry point
``qdebug.checks``. ``run_checks`` runs them all; one that crashes becomes a finding with status
``error``, never the end of the run.
"""

from qdebug.checks.check import Check, CheckContext, run_checks

__all__ = ["Check", "CheckContext", "run_checks"]
