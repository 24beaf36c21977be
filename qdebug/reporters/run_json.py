"""The run as JSON: the contract itself, ``run.json``."""

from __future__ import annotations

from qdebug.reporters.base import Reporter
from qdebug.run.model import Run
from qdebug.run.store import run_to_json


class JsonReporter(Reporter):
    """``run.json`` as it is stored; its schema is ``qdebug.run/1``."""

    suffixes = (".json",)

    def render(self, run: Run) -> str:
        """The JSON text."""
        return run_to_json(run)


json = JsonReporter()
