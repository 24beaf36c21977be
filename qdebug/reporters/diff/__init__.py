"""Forms of a comparison of two runs; the suffix of the file decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qdebug.errors import UsageError
from qdebug.reporters.base import write_file
from qdebug.run.diff import RunDiff


def _json(diff: RunDiff) -> str:
    from qdebug.reporters.diff.forms import render_json

    return render_json(diff)


def _markdown(diff: RunDiff) -> str:
    from qdebug.reporters.diff.forms import render_markdown

    return render_markdown(diff)


def _html(diff: RunDiff) -> str:
    from qdebug.reporters.diff.page import render_html

    return render_html(diff)


FORMS: dict[str, Callable[[RunDiff], str]] = {
    ".json": _json,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
}
"""Renderer by suffix."""


def write_diff(diff: RunDiff, path: Path, force: bool = False) -> Path:
    """Write a comparison to a file.

    Raises:
        UsageError: no form has that suffix, or the file exists and ``force`` is false.
        RunError: the file cannot be written.
    """
    render = FORMS.get(path.suffix.lower())
    if render is None:
        known = ", ".join(sorted(FORMS))
        raise UsageError(f"no form of a comparison is named {path.name!r}", f"suffixes: {known}")
    return write_file(path, render(diff), force)
