"""The compare screen: what got better or worse from one run to another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from qdebug.reporters.diff.view import task_text, worst_channel_arrow
from qdebug.run.diff import LayerDiff, Levels, RunDiff, diff_runs
from qdebug.tui.context import Look, Session
from qdebug.tui.glyphs import ASCII
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, labelled, line, status_glyph
from qdebug.tui.markdown import code, table
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.tui.text import cut_end
from qdebug.tui.textview import TextView
from qdebug.vocabulary.numbers import decibel

_BOARD_COLUMNS = (
    Column("board.old", "A board", 8, 3, right=True),
    Column("board.new", "B board", 8, 2, right=True),
    Column("board.delta", "change", 8, 1, right=True),
)
_ORDERS = ("largest change first", "largest loss first", "execution order")


def signed(value: float | None, look: Look) -> str:
    """A change in dB with its sign."""
    if value is None:
        return look.glyphs.none
    text = look.glyphs.text(decibel(value))
    return f"+{text}" if value > 0 else text


class DiffTable(LineTable):
    """Layers of both runs with the change of their errors."""

    def __init__(self, look: Look, layers: Sequence[LayerDiff]) -> None:
        super().__init__(look)
        self.pairs = layers
        self._has_board = any(pair.board != Levels(None, None) for pair in layers)
        self.ordering = 0
        self.order = self._ordered()

    def _ordered(self) -> list[int]:
        deltas = [self._delta(pair) for pair in self.pairs]
        if self.ordering == 2:
            return list(range(len(deltas)))
        values = np.array([np.nan if delta is None else delta for delta in deltas], np.float64)
        keys = -np.abs(values) if self.ordering == 0 else values
        order: list[int] = np.argsort(
            np.where(np.isnan(keys), np.inf, keys), kind="stable"
        ).tolist()
        return order

    @staticmethod
    def _delta(pair: LayerDiff) -> float | None:
        """The change of the simulation, or of the board where the simulation stayed."""
        if pair.board.delta and pair.accumulated.change == "same":
            return pair.board.delta
        return pair.accumulated.delta

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
        """Accumulated and local error and the board, old, new and the change."""
        return (
            Column("flag", "", 1),
            Column("#", "#", 5, 3, right=True),
            Column("name", "layer", 16, flexible=True),
            Column("op", "op", 9, 6),
            Column("accumulated.old", "A accum", 8, 2, right=True),
            Column("accumulated.new", "B accum", 8, 1, right=True),
            Column("accumulated.delta", "change", 8, right=True),
            Column("local.old", "A local", 8, 5, right=True),
            Column("local.new", "B local", 8, 5, right=True),
            Column("local.delta", "change", 8, 4, right=True),
            *(_BOARD_COLUMNS if self._has_board else ()),
            Column("settings", "settings", 24, 7, prose=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a pair."""
        pair = self.pairs[self.order[row]]
        palette, glyphs = self.look.palette, self.look.glyphs
        side, _, which = column.key.partition(".")
        if which:
            value = getattr(getattr(pair, side), which)
            if which == "delta":
                return signed(value, self.look), self._style(value)
            return decibel(value), palette.grade(value)
        if column.key == "flag":
            return (glyphs.fail if pair.regressed else ""), palette.bad
        if column.key == "name":
            return self._label(pair), palette.text
        index = pair.new if pair.new is not None else pair.old
        texts = {"#": str(index), "op": pair.op, "settings": ", ".join(pair.settings)}
        return texts[column.key], palette.dim

    def _label(self, pair: LayerDiff) -> str:
        if pair.old is None or pair.new is None:
            return f"{pair.name} (only {'A' if pair.new is None else 'B'})"
        return f"{pair.name} (was {pair.old_name})" if pair.old_name else pair.name

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
        """Counts and order."""
        diff = self.diff
        lost = sum(layer.regressed for layer in diff.layers)
        better = sum(layer.change == "better" for layer in diff.layers)
        dot = self.look.glyphs.dot
        return f"{lost} regressed {dot} {better} better {dot} {_ORDERS[self.table.ordering]}"

    def _summary(self, width: int) -> list[Text]:
        lines = []
        diff, palette, glyphs = self.diff, self.look.palette, self.look.glyphs
        for name, session in (("A", self.session), ("B", self.other)):
            verdict, file = session.run.verdict, session.run.models.quant.file
            row = line((f"{name} ", palette.bold))
            row.append(f" {verdict.status.upper()} ", palette.badges[verdict.status])
            text = f"{file}: {session.outcome.sentence}"
            lines.append(row.append(f" {cut_end(text, max(width - 18, 10), glyphs)}"))
        changed = [task_text(item) for item in diff.task if item.old != item.new]
        if changed:
            lines += labelled("task", f" {glyphs.dot} ".join(changed), width, self.look)
        for output in diff.outputs:
            old, new = (decibel(v) for v in (output.accumulated.old, output.accumulated.new))
            change = signed(output.accumulated.delta, self.look)
            text = f"{output.name}: {old} {glyphs.arrow} {new} dB ({change})"
            worst = glyphs.text(worst_channel_arrow(output))
            text += f", worst channel {worst} dB" if worst else ""
            lines += labelled("output", text, width, self.look)
        for item in diff.findings:
            if item.change != "same":
                status = "pass" if item.change in ("gone", "better") else item.new_status or "info"
                glyph, style = status_glyph(status, self.look)
                text = f"{item.id} {item.slug}: {item.title}"
                lines += labelled(f"{glyph} {item.change}", text, width, self.look, style)
        for caveat in diff.caveats:
            lines += labelled("note", caveat, width, self.look, palette.dim)
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
            self.post_message(self.Jump(pair.old))

    def action_sort_next(self) -> None:
        """The next order."""
        self.table.sort_next()
        self.post_message(self.Changed())

    def action_copy(self) -> None:
        """The largest changes as Markdown."""
        pairs = [p for p in self.diff.layers if p.accumulated.delta]
        pairs.sort(key=lambda p: -abs(p.accumulated.delta or 0.0))
        plain = Look(ASCII, self.look.palette)
        rows = [
            [code(p.name), signed(p.accumulated.delta, plain), signed(p.local.delta, plain)]
            for p in pairs[:20]
        ]
        text = table(["layer", "accumulated, dB", "local, dB"], rows)
        self.post_message(Copy(text + "\n", "the comparison"))
