"""Starting the browser: is there a terminal, what does the user like."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from qdebug.errors import QdebugError, UsageError
from qdebug.run.model import Run
from qdebug.tui.app import Browser
from qdebug.tui.glyphs import ASCII, UNICODE, detect_glyphs
from qdebug.tui.handoff import ApplyDraft
from qdebug.tui.settings import Settings, load_settings, settings_file


def open_browser(
    run: Run | None = None,
    paths: Sequence[Path] = (),
    ascii_only: bool | None = None,
    apply: ApplyDraft | None = None,
) -> None:
    """Run the browser until the user quits.

    Args:
        run: to be shown; None reads ``paths``.
        paths: of runs.
        ascii_only: draw with ASCII; None asks the terminal.
        apply: writes the model of a plan that was switched.

    Raises:
        UsageError: standard input or output is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "the browser needs a terminal to draw on",
            "qdebug show RUN prints a summary, qdebug report RUN -o FILE.html writes a page",
        )
    app = make_browser(run, paths, ascii_only)
    app.apply = apply
    app.run()
    if app.return_code:
        raise UsageError("the browser ended with an error", "what it wrote above says where")


def make_browser(
    run: Run | None = None, paths: Sequence[Path] = (), ascii_only: bool | None = None
) -> Browser:
    """A browser by the user's settings; a settings file at fault is told in the browser."""
    complaint = None
    try:
        settings = load_settings(settings_file())
    except QdebugError as error:
        settings, complaint = Settings(), error
    wish = ascii_only if ascii_only is not None else settings.ascii
    glyphs = detect_glyphs() if wish is None else ASCII if wish else UNICODE
    return Browser(run, paths, settings, glyphs, os.environ, complaint)
