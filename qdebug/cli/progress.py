"""Progress on stderr: a bar where a person watches, a line now and then where a log is kept."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qdebug.cli.diagnostics import tell
from qdebug.progress import Progress, Silent
from qdebug.vocabulary.names import visible

if TYPE_CHECKING:
    import rich.progress

_PLAIN_INTERVAL_S = 10.0


@contextlib.contextmanager
def progress_on_stderr(*, quiet: bool, verbose: bool) -> Iterator[Progress]:
    """Progress for a command with ``-q`` and ``-v``."""
    if quiet or sys.stderr is None:
        yield Silent()
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield BarProgress(bar, verbose)
    else:
        yield PlainProgress(verbose)


class PlainProgress:
    """A line every ten seconds, so that a log stays short and a watchdog sees life."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._title = ""
        self._total: int | None = None
        self._done = 0
        self._next = time.monotonic() + _PLAIN_INTERVAL_S

    def stage(self, title: str, total: int | None = None) -> None:
        """A new stage begins."""
        self._title, self._total, self._done = title, total, 0
        if self._verbose:
            tell(title)
        self._tell_if_due()

    def advance(self, steps: int = 1) -> None:
        """Some steps are done."""
        self._done += steps
        self._tell_if_due()

    def note(self, message: str) -> None:
        """A detail, told with ``-v``."""
        if self._verbose:
            tell(message)

    def _tell_if_due(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PLAIN_INTERVAL_S
        of = f" {self._done}/{self._total}" if self._total else ""
        tell(f"{self._title}{of}")


class BarProgress:
    """One bar a stage; the bars vanish when the work is done."""

    def __init__(self, bar: rich.progress.Progress, verbose: bool) -> None:
        self._bar = bar
        self._verbose = verbose
        self._task: rich.progress.TaskID | None = None

    def stage(self, title: str, total: int | None = None) -> None:
        """A new stage begins."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(visible(title), total=total)

    def advance(self, steps: int = 1) -> None:
        """Some steps are done."""
        if self._task is not None:
            self._bar.advance(self._task, steps)

    def note(self, message: str) -> None:
        """A detail, told above the bar with ``-v``."""
        if self._verbose:
            self._bar.console.print(f"qdebug: {visible(message)}", markup=False, highlight=False)


def _bar() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Count(ProgressColumn):
        """``3/8``, or nothing where the number of steps is not known."""

        def render(self, task: Task) -> Text:
            return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        _Count(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
