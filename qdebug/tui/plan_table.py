"""The list of a plan's cures and units, each with its switch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.style import Style

from qdebug.run.draft import Draft
from qdebug.run.tuning import Cure
from qdebug.tui.context import Look
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.vocabulary.numbers import percent


class PlanTable(LineTable):
    """Cures in the order in which they were tried, then units, the most expensive first."""

    def __init__(self, look: Look, draft: Draft) -> None:
        super().__init__(look)
        self.draft = draft
        self.cures = draft.tuning.cures
        self.order = draft.ranked()

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.cures) + len(self.order)

    def switch(self) -> str:
        """Switch what the cursor is on; why that cannot be, or nothing."""
        cure = self._cure(self.cursor)
        if cure is None:
            self.draft.switch_unit(self._unit(self.cursor))
        elif why := self.draft.why_fixed(cure):
            return f"{cure.title}: {why}"
        else:
            self.draft.switch(cure)
        self.rows_changed()
        return ""

    def reset(self) -> None:
        """Switch everything back."""
        self.draft.reset()
        self.order = self.draft.ranked()
        self.rows_changed()

    def columns(self) -> Sequence[Column]:
        """Switch, what it is, bits, share of the predicted loss, multiplications."""
        return (
            Column("on", "", 3),
            Column("title", "cure or unit", 20, flexible=True),
            Column("bits", "bits", 5, 2, right=True),
            Column("share", "of the loss", 11, 1, right=True),
            Column("macs", "MACs", 7, 3, right=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a cure or of a unit."""
        cure = self._cure(row)
        return self._of_unit(row, column) if cure is None else self._of_cure(cure, column)

    def _of_cure(self, cure: Cure, column: Column) -> Cell:
        palette = self.look.palette
        is_fixed = bool(self.draft.why_fixed(cure))
        style = palette.dim if is_fixed else palette.bold
        if column.key == "on":
            mark = "x" if self.draft.is_on(cure) else " "
            return (f" {mark} " if is_fixed else f"[{mark}]"), style
        if column.key == "title":
            return cure.title, style
        return (percent(cure.macs) if column.key == "macs" and cure.macs else ""), style

    def _of_unit(self, row: int, column: Column) -> Cell:
        at, palette = self._unit(row), self.look.palette
        unit, setting = self.draft.tuning.units[at], self.draft.setting(at)
        if column.key == "on":
            return f"[{'x' if at in self.draft.wide else ' '}]", palette.text
        if column.key == "title":
            return unit.label, palette.text
        if column.key == "bits":
            return ("float" if setting.bits > _WIDEST else str(setting.bits)), Style()
        if column.key == "share":
            whole = self.draft.loss
            known = math.isfinite(whole) and whole > 0 and math.isfinite(setting.loss)
            return (percent(setting.loss / whole) if known else self.look.glyphs.none), Style()
        return percent(unit.macs), palette.dim

    def _cure(self, row: int) -> Cure | None:
        return self.cures[row] if row < len(self.cures) else None

    def _unit(self, row: int) -> int:
        return self.order[row - len(self.cures)]


_WIDEST = 16
"""Bits of codes; values with more are floating point."""
