"""Samples against layers: one line a sample, its error along the network as a strip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip

from qdebug.reporters import heights
from qdebug.tui import charts
from qdebug.tui.context import Look, Session
from qdebug.tui.table import Cell, Column, LineTable, fit_columns
from qdebug.vocabulary.numbers import decibel


class SampleTable(LineTable):
    """The strips; a cursor runs along the network as well as over the samples."""

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look)
        self.session = session
        self.by_error = True
        self.column: int | None = None

    @cached_property
    def order(self) -> list[int]:
        """The samples in the order shown; first worked out when the screen is."""
        return self._ordered()

    @cached_property
    def matrix(self) -> heights.FloatArray:
        """Accumulated SQNR in dB, float64 ``[samples, layers]``; NaN where there is none."""
        layers = self.session.run.layers
        values = np.full((len(self.session.run.samples), len(layers)), np.nan)
        for place, layer in enumerate(layers):
            numbers = layer.sample_sqnr_db[: len(values)]
            values[: len(numbers), place] = numbers
        return values

    @cached_property
    def worst(self) -> heights.FloatArray:
        """Lowest SQNR of each sample at the model's outputs, else anywhere, dB."""
        places = [
            self.session.position[o.layer]
            for o in self.session.run.outputs
            if o.layer is not None and o.layer in self.session.position
        ]
        part = self.matrix[:, places] if places else self.matrix
        padded = np.where(np.isnan(part), np.inf, part)
        worst: heights.FloatArray = padded.min(axis=1, initial=np.inf)
        return worst

    def _ordered(self) -> list[int]:
        count = len(self.session.run.samples)
        return (
            np.argsort(self.worst, kind="stable").tolist() if self.by_error else list(range(count))
        )

    def sort_next(self) -> None:
        """Worst first, or in the order given; the cursor stays with its sample."""
        here = self.current
        self.by_error = not self.by_error
        self.order = self._ordered()
        self.rows_changed()
        if here is not None:
            self.move_to(self.order.index(here), announce=False)

    @property
    def current(self) -> int | None:
        """The sample with the cursor."""
        return self.order[self.cursor] if self.order else None

    @property
    def row_count(self) -> int:
        """Number of samples."""
        return len(self.order)

    def empty_text(self) -> str:
        """Why there is nothing."""
        return "this run holds no samples"

    def columns(self) -> Sequence[Column]:
        """Name, number at the output, strip."""
        return (
            Column("name", "sample", 16 if self.size.width < 100 else 26),
            Column("worst", "out dB", 7, 1, right=True),
            Column("strip", "error along the network", 20, flexible=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """Name or number of a sample; the strip is drawn by the line."""
        sample = self.order[row]
        if column.key == "name":
            return self.session.run.samples[sample].name, Style()
        value = float(self.worst[sample])
        return decibel(value), self.look.palette.grade(value)

    @property
    def strip_room(self) -> tuple[int, int]:
        """First cell of the strip and its width."""
        left = 0
        for column, width in fit_columns(self.columns(), self.room):
            if column.key == "strip":
                return left, max(width, 1)
            left += width + 1
        return 0, 1

    def _row_line(self, row: int, width: int, base: Style) -> Strip:
        line = super()._row_line(row, width, base)
        left, room = self.strip_room
        segments = list(line.crop(0, left))
        levels = heights.binned_worst(heights.error_levels(self.matrix[self.order[row]]), room)
        for at, level in enumerate(levels.tolist()):
            here = row == self.cursor and at == self._at(room)
            segments.append(self._part(level, base, here))
        return Strip(segments).adjust_cell_length(width, base)

    def _part(self, level: float, base: Style, here: bool) -> Segment:
        style = base + charts.level_style(level, self.look)
        return Segment(
            charts.level_glyph(level, self.look), style + Style(reverse=True) if here else style
        )

    def _at(self, room: int) -> int:
        return min(self.column or 0, room - 1)

    def along(self, step: int) -> None:
        """Move along the network."""
        _, room = self.strip_room
        self.column = min(max(self._at(room) + step, 0), room - 1)
        self.refresh()
        self.post_message(self.Moved(self))

    def place(self) -> int | None:
        """Position of the worst layer under the cursor in the current sample."""
        sample = self.current
        if sample is None or not self.matrix.shape[1]:
            return None
        _, room = self.strip_room
        span = charts.positions_of(self._at(room), self.matrix.shape[1], room)
        part = self.matrix[sample, span.start : span.stop]
        known = np.where(np.isnan(part), np.inf, part)
        return span.start + int(np.argmin(known)) if len(known) else None

    def go_to_worst(self) -> None:
        """Begin at the part of the network where the error first gets large."""
        _, room = self.strip_room
        sample = self.current
        if sample is None or not self.matrix.shape[1]:
            return
        row = np.where(np.isnan(self.matrix[sample]), np.inf, self.matrix[sample])
        self.column = heights.column_of(int(np.argmin(row)), len(row), room)

    def on_click(self, event: events.Click) -> None:
        """A click on the strip moves along the network, too."""
        left, room = self.strip_room
        if event.y > 0 and left <= event.x < left + room:
            self.column = event.x - left
            self.post_message(self.Moved(self))
        super().on_click(event)
