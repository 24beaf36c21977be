"""The compare screen: what got better or worse from one run to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from qdebug.run.diff import LayerDiff, RunDiff, diff_runs
from qdebug.run.model import Layer
from qdebug.tui.context import Look, Session
from qdebug.tui.glyphs import ASCII
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, labelled, line, status_glyph
from qdebug.tui.markdown import code, table
from qdebug.tui.numbers import decibels
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.tui.text import visible
from qdebug.tui.textview import TextView

_ORDERS = ("largest change first", "largest loss first", "execution order")


def signed(value: float | None, look: Look) -> str:
    """A change in dB with its sign."""
    if value is None:
        return look.glyphs.none
    text = decibels(value, look.glyphs)
    return f"+{text}" if value > 0 else text


class DiffTable(LineTable):
    """Layers of both runs with the change of their errors."""

    def __init__(self, look: Look, layers: Sequence[LayerDiff]) -> None:
        super().__init__(look)
        self.pairs = layers
        self.ordering = 0
        self.order = self._ordered()

    def _ordered(self) -> list[int]:
        if self.ordering == 2:
            return list(range(len(self.pairs)))
        values = np.array(
            [np.nan if p.accumulated_db is None else p.accumulated_db for p in self.pairs]
        )
        keys = np.where(np.isnan(values), np.inf, -np.abs(values) if self.ordering == 0 else values)
        order: list[int] = np.argsort(keys, kind="stable").tolist()
        return order

    def sort_next(self) -> None:
        """The next order."""
        self.ordering = (self.ordering + 1) % len(_ORDERS)
        self.order = self._ordered()
        self.cursor = 0
        self.rows_changed()

    @property
    def current(self) -> LayerDiff | None:
        """The pair with the cursor."""
        return self.pairs[self.order[self.cursor]] if self.order else None

    @property
    def row_count(self) -> int:
        """Number of pairs."""
        return len(self.order)

    def columns(self) -> Sequence[Column]:
        """Accumulated and local error, old, new and the change."""
        return (
            Column("#", "#", 5, 3, right=True),
            Column("name", "layer", 16, flexible=True),
            Column("op", "op", 9, 6),
            Column("old", "A accum", 8, 2, right=True),
            Column("new", "B accum", 8, 1, right=True),
            Column("change", "change", 8, right=True),
            Column("old local", "A local", 8, 5, right=True),
            Column("new local", "B local", 8, 5, right=True),
            Column("local", "change", 8, 4, right=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a pair."""
        pair = self.pairs[self.order[row]]
        layer = pair.new or pair.old
        palette = self.look.palette
        if layer is None:
            return "", Style()
        if column.key in ("change", "local"):
            value = pair.accumulated_db if column.key == "change" else pair.local_db
            return signed(value, self.look), self._style(value)
        if column.key in ("old", "new", "old local", "new local"):
            return self._number(pair.old if "old" in column.key else pair.new, column.key)
        only = "" if pair.old and pair.new else " (only B)" if pair.new else " (only A)"
        texts = {"#": str(layer.index), "name": layer.name + only, "op": layer.op}
        return texts[column.key], palette.text if column.key == "name" else palette.dim

    def _number(self, layer: Layer | None, key: str) -> Cell:
        metrics = getattr(layer, "local" if "local" in key else "accumulated", None)
        value = metrics.sqnr_db if metrics else None
        return decibels(value, self.look.glyphs), self.look.palette.grade(value)

    def _style(self, value: float | None) -> Style:
        if value is None or abs(value) < 1:
            return self.look.palette.dim
        return self.look.palette.bad if value < 0 else self.look.palette.good


class ComparePage(RunPage):
    """Verdicts, outputs and findings above, the layers below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]
    DEFAULT_CSS = """
    ComparePage TextView { height: auto; max-height: 40%; background: $surface; }
    """
    scopes: Sequence[str] = ("compare", "app")

    def __init__(self, look: Look, session: Session, other: Session) -> None:
        super().__init__(look, session, "compare")
        self.other = other

    @cached_property
    def diff(self) -> RunDiff:
        """A to B."""
        return diff_runs(self.session.run, self.other.run)

    def compose(self) -> ComposeResult:
        """Text and list."""
        yield TextView()
        yield DiffTable(self.look, self.diff.layers)

    @property
    def table(self) -> DiffTable:
        """The list."""
        return self.query_one(DiffTable)

    def entered(self) -> None:
        """Focus the list."""
        self.table.focus()

    def on_mount(self) -> None:
        """Show the summary."""
        self.redraw()

    def on_resize(self) -> None:
        """Leave most of the room to the layers."""
        lines = len(self._summary(max(self.size.width - 3, 10)))
        room = max(self.size.height * 2 // 5, 5)
        self.query_one(TextView).styles.height = min(lines, room)

    def redraw(self) -> None:
        """Draw the summary again."""
        self.query_one(TextView).show(self._summary, keep_place=True)
        self.table.refresh()

    def status(self) -> str:
        """Order and counts."""
        changes = [p.accumulated_db for p in self.diff.layers if p.accumulated_db is not None]
        worse, better = sum(c <= -1 for c in changes), sum(c >= 1 for c in changes)
        dot = self.look.glyphs.dot
        return f"{worse} worse {dot} {better} better by 1 dB {dot} {_ORDERS[self.table.ordering]}"

    def _summary(self, width: int) -> list[Text]:
        lines = []
        for name, session in (("A", self.session), ("B", self.other)):
            verdict = session.run.verdict
            row = line((f"{name} ", self.look.palette.bold))
            row.append(f" {verdict.status.upper()} ", self.look.palette.badges[verdict.status])
            row.append(f" {visible(session.run.models.quant.file)}: {visible(verdict.reason)}")
            lines.append(row)
        for output, (old, new) in self.diff.outputs.items():
            gap = None if old is None or new is None else new - old if old != new else 0.0
            arrow = self.look.glyphs.arrow
            glyphs = self.look.glyphs
            text = f"{visible(output)}: {decibels(old, glyphs)} {arrow} {decibels(new, glyphs)} dB"
            lines += labelled("output", f"{text} ({signed(gap, self.look)})", width, self.look)
        for item in self.diff.findings:
            finding = item.new or item.old
            if finding is not None and item.change != "same":
                status = "pass" if item.change in ("gone", "better") else finding.status
                glyph, style = status_glyph(status, self.look)
                text = f"{finding.id} {item.slug}: {finding.title}"
                lines += labelled(f"{glyph} {item.change}", text, width, self.look, style)
        return [*lines, blank()]

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        """A double click goes to the layer."""
        event.stop()
        self.action_jump()

    def action_jump(self) -> None:
        """To the layer, in run A."""
        pair = self.table.current
        if pair is None:
            return
        if pair.old is None:
            self.notify("Only run B has this layer.", markup=False)
        else:
            self.post_message(self.Jump(pair.old.index))

    def action_sort_next(self) -> None:
        """The next order."""
        self.table.sort_next()
        self.post_message(self.Changed())

    def action_copy(self) -> None:
        """The largest changes as Markdown."""
        pairs = [p for p in self.diff.layers if p.accumulated_db and p.new and p.old]
        pairs.sort(key=lambda p: -abs(_finite(p.accumulated_db)))
        plain = Look(ASCII, self.look.palette)
        rows = [
            [code(p.new.name), signed(p.accumulated_db, plain), signed(p.local_db, plain)]
            for p in pairs[:20]
            if p.new is not None
        ]
        text = table(["layer", "accumulated, dB", "local, dB"], rows)
        self.post_message(Copy(text + "\n", "the comparison"))


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 1e9
