"""The error along the network: accumulated and local, where sources are, and where one is."""

from __future__ import annotations

import numpy as np
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from qdebug.tui import charts
from qdebug.tui.context import Look, Session
from qdebug.tui.lines import line

_LABEL = 7


class ErrorStrip(Widget):
    """One cell for each even part of the network, as high as the worst error in it."""

    DEFAULT_CSS = "ErrorStrip { height: 3; }"

    class Clicked(Message):
        """A part was clicked; ``place`` is the position of its worst layer."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__()
        self.look = look
        self.session = session
        self.place = 0
        index = session.index
        self._accumulated = charts.error_levels(index.numbers("sqnr"))
        self._local = charts.error_levels(index.numbers("local"))
        layers = session.run.layers
        self._sources = [i for i, layer in enumerate(layers) if layer.role == "source"]

    def at(self, place: int) -> None:
        """Show where the cursor is, by the layer's position."""
        self.place = place
        self.refresh()

    @property
    def _columns(self) -> int:
        return max(self.size.width - _LABEL - 1, 1)

    def render(self) -> Text:
        """The strips that fit: accumulated, local, and the markers."""
        text = self._strip("accum", self._accumulated)
        if self.size.height > 1:
            text.append("\n")
            text.append_text(self._strip("local", self._local))
        if self.size.height > 2:
            text.append("\n")
            text.append_text(self._markers())
        return text

    def _strip(self, label: str, levels: charts.FloatArray) -> Text:
        here = charts.column_of(self.place, len(levels), self._columns)
        row = line((f" {label} ", self.look.palette.dim))
        for column, level in enumerate(charts.binned_worst(levels, self._columns).tolist()):
            style = charts.level_style(level, self.look)
            marked = column == here
            row.append(
                charts.level_glyph(level, self.look),
                style + Style(reverse=True) if marked else style,
            )
        return row

    def _markers(self) -> Text:
        count, columns = len(self.session.run.layers), self._columns
        cells: list[tuple[str, Style]] = [(" ", self.look.palette.dim)] * columns
        for place in self._sources:
            cells[charts.column_of(place, count, columns)] = (
                self.look.glyphs.source,
                self.look.palette.bad,
            )
        here = charts.column_of(self.place, count, columns) if count else 0
        cells[here] = (self.look.glyphs.pointer, self.look.palette.accent)
        return line((" " * _LABEL, ""), *cells)

    def on_click(self, event: events.Click) -> None:
        """Go to the worst layer of the part that was clicked."""
        column = event.x - _LABEL
        count = len(self.session.run.layers)
        if 0 <= column < self._columns and count:
            places = charts.positions_of(column, count, self._columns)
            levels = np.nan_to_num(self._accumulated[places.start : places.stop], nan=-1.0)
            offset = int(np.argmax(levels)) if len(levels) else 0
            self.post_message(self.Clicked(places.start + offset))
