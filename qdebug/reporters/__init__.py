"""Forms in which a run is handed on; each reads a ``Run`` and nothing else.

A reporter is an object with ``suffixes``, ``render(run)`` and ``write(run, path)``, registered
under the entry-point group ``qdebug.reporters``; see ``qdebug.reporters.base.Reporter``.
"""
