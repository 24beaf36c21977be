"""The choice of a run: those in the working directory and right below it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.worker import get_current_worker

from qdebug.bounds import read_bytes
from qdebug.errors import QdebugError, RunError
from qdebug.run.files import RUN_JSON
from qdebug.run.model import Run
from qdebug.run.store import SUFFIX, load_run
from qdebug.tui.context import Look
from qdebug.tui.keys import bindings
from qdebug.tui.lines import status_glyph
from qdebug.tui.pages.page import Page
from qdebug.tui.table import Cell, Column, LineTable

_MAX_RUNS = 500


@dataclass
class Candidate:
    """A run that may be opened; its verdict is read after it is listed."""

    path: Path
    changed: float
    status: str = ""
    about: str = "reading"


def find_runs(folder: Path) -> list[Path]:
    """Runs in a folder and in the folders right below it, newest first."""
    found = sorted(set(_candidates(folder)), key=lambda path: -path.stat().st_mtime)
    return found[:_MAX_RUNS]


def _candidates(folder: Path) -> Iterator[Path]:
    for pattern in (f"*{SUFFIX}", f"*/*{SUFFIX}"):
        yield from (path for path in folder.glob(pattern) if (path / RUN_JSON).is_file())
    for pattern in (f"*{SUFFIX}.zip", "*.html"):
        yield from (path for path in folder.glob(pattern) if path.is_file() and _holds_run(path))


def _holds_run(path: Path) -> bool:
    """Whether a file may embed a run; pages of other programs are left out."""
    if path.suffix != ".html":
        return True
    try:
        return b"qdebug-run" in read_bytes(path, RunError)
    except (OSError, RunError):
        return False


class PickerTable(LineTable):
    """The runs found."""

    def __init__(self, look: Look, folder: Path) -> None:
        super().__init__(look)
        self.folder = folder
        self.candidates = [Candidate(path, path.stat().st_mtime) for path in find_runs(folder)]
        self.chosen: list[Path] = []

    @property
    def row_count(self) -> int:
        """Number of runs."""
        return len(self.candidates)

    def empty_text(self) -> str:
        """What to do about it."""
        return "no runs here; qdebug compare FLOAT QUANT INPUT... makes one"

    def columns(self) -> Sequence[Column]:
        """Choice, verdict, name, date, what it compares."""
        return (
            Column("mark", "", 1),
            Column("status", "", 2),
            Column("name", "run", 24),
            Column("about", "verdict", 16, 1, flexible=True, prose=True),
            Column("changed", "changed", 16, 2),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a run."""
        item = self.candidates[row]
        if column.key == "mark":
            return (self.look.glyphs.marked if item.path in self.chosen else ""), Style()
        if column.key == "status":
            return status_glyph(item.status, self.look) if item.status else ("", Style())
        if column.key == "changed":
            moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.changed))
            return moment, self.look.palette.dim
        if column.key == "name":
            return item.path.relative_to(self.folder).as_posix(), self.look.palette.bold
        return item.about, self.look.palette.text


class PickerPage(Page):
    """Lists runs at once and reads their verdicts behind the scenes."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("picker")]
    scopes: Sequence[str] = ("picker", "app")

    class Chosen(Message):
        """These runs are to be opened."""

        def __init__(self, paths: Sequence[Path]) -> None:
            super().__init__()
            self.paths = paths

    def __init__(self, look: Look, folder: Path) -> None:
        super().__init__(look, "picker")
        self.folder = folder

    def compose(self) -> ComposeResult:
        """The list."""
        yield PickerTable(self.look, self.folder)

    @property
    def table(self) -> PickerTable:
        """The list."""
        return self.query_one(PickerTable)

    def on_mount(self) -> None:
        """Read the verdicts."""
        self._read()

    def entered(self) -> None:
        """Focus the list."""
        self.table.focus()

    def status(self) -> str:
        """How many there are."""
        return f"{self.table.row_count} runs in {self.folder.name or self.folder}"

    @work(thread=True, exclusive=True, exit_on_error=False, group="verdicts")
    def _read(self) -> None:
        worker = get_current_worker()
        for item in self.table.candidates:
            if worker.is_cancelled:
                return
            try:
                run = load_run(item.path)
            except QdebugError as error:
                item.status, item.about = "inconclusive", error.message
            else:
                item.status, item.about = run.verdict.status, _about(run)
            self.app.call_from_thread(self.table.refresh)

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        """A double click opens the run."""
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Open the run with the cursor, or compare the two that were chosen."""
        table = self.table
        if len(table.chosen) == 2:
            self.post_message(self.Chosen(tuple(table.chosen)))
        elif table.candidates:
            self.post_message(self.Chosen((table.candidates[table.cursor].path,)))

    def action_choose(self) -> None:
        """Choose a run to compare; with two chosen, Enter compares them."""
        table = self.table
        if not table.candidates:
            return
        path = table.candidates[table.cursor].path
        if path in table.chosen:
            table.chosen.remove(path)
        else:
            table.chosen = [*table.chosen[-1:], path]
        table.refresh()

    def action_peel(self) -> None:
        """Nothing lies above the choice."""


def _about(run: Run) -> str:
    return f"{run.verdict.reason} ({run.models.float.file}, {run.models.quant.file})"
