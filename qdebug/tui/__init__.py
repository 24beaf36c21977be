"""The terminal browser: reads a run and nothing else.

``browse`` is the entry point ``terminal`` of the group ``qdebug.browsers``. Importing this package
does not import Textual; calling one of its functions does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug import collector

if TYPE_CHECKING:
    from qdebug.run.model import Run
    from qdebug.tui.handoff import ApplyDraft

__all__ = ["browse", "browse_paths"]


def browse(run: Run) -> None:
    """Open the browser on a run that is in memory or on disk.

    Raises:
        UsageError: there is no terminal to draw on.
    """
    from qdebug.run.clean import cleaned
    from qdebug.tui.start import open_browser

    open_browser(run=cleaned(run))


def browse_paths(
    paths: Sequence[Path], *, ascii_only: bool | None = None, apply: ApplyDraft | None = None
) -> None:
    """Open the browser on stored runs: one, two to compare, or none to choose from those here.

    Args:
        paths: of runs.
        ascii_only: draw with ASCII; None asks the terminal.
        apply: writes the model of a plan that was switched.

    Raises:
        UsageError: there is no terminal to draw on.
    """
    with collector.paused(keep=True):
        from qdebug.tui.start import open_browser

    open_browser(paths=paths, ascii_only=ascii_only, apply=apply)
