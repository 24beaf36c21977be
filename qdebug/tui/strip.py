"""The error along the network: whole tensors, worst channels, local; and where one is."""

from __future__ import annotations

import numpy as np
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from qdebug.reporters import heights
from qdebug.tui import charts
from qdebug.tui.context import Look, Session
from qdebug.tui.lines import line

_LABEL = 7
_SERIES = {"accum": "sqnr", "worst": "channel", "local": "local", "board": "board"}
"""Labels and fields: accumulated of the whole tensor, of its worst channel, local, and the board
against the simulation."""


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
        numbers = session.index.numbers
        levels = {label: self._levels(numbers(field), field) for label, field in _SERIES.items()}
        self.series = {
            label: level
            for label, level in levels.items()
            if label == "accum" or not np.isnan(level).all()
        }
        self._marks = self._find_marks()
        self._pointed = [
            session.position[index]
            for index, findings in session.findings_of.items()
            if index in session.position and any(f.status == "fail" for f in findings)
        ]

    def _levels(self, sqnr_db: heights.FloatArray, field: str) -> heights.FloatArray:
        """Heights; what is NaN, and not missing, is as bad as can be."""
        levels = heights.error_levels(sqnr_db)
        undefined = np.isnan(levels) & ~self.session.index.missing(field)
        return np.where(undefined, 1.0, levels)

    def _find_marks(self) -> dict[int, str]:
        """Signs by position: sources, and over them the layers of findings that fail."""
        session, glyphs = self.session, self.look.glyphs
        marks = {
            place: glyphs.source
            for place, layer in enumerate(session.run.layers)
            if layer.role == "source"
        }
        for index, findings in session.findings_of.items():
            if index in session.position and any(f.status == "fail" for f in findings):
                marks[session.position[index]] = glyphs.fail
        return marks

    def at(self, place: int) -> None:
        """Show where the cursor is, by the layer's position."""
        self.place = place
        self.refresh()

    @property
    def _columns(self) -> int:
        return max(self.size.width - _LABEL - 1, 1)

    def render(self) -> Text:
        """The strips that fit, and the markers under them."""
        rows = [self._strip(label, levels) for label, levels in self.series.items()]
        rows.append(self._markers())
        text = Text("\n", no_wrap=True, end="")
        return text.join(rows[: max(self.size.height, 1)])

    def _strip(self, label: str, levels: heights.FloatArray) -> Text:
        here = heights.column_of(self.place, len(levels), self._columns)
        row = line((f" {label} ", self.look.palette.dim))
        pointed = {heights.column_of(p, len(levels), self._columns) for p in self._pointed}
        for column, level in enumerate(heights.binned_worst(levels, self._columns).tolist()):
            palette = self.look.palette
            style = palette.bad if column in pointed else palette.calm
            marked = column == here
            row.append(
                charts.level_glyph(level, self.look),
                style + Style(reverse=True) if marked else style,
            )
        return row

    def _markers(self) -> Text:
        count, columns = len(self.session.run.layers), self._columns
        cells: list[tuple[str, Style]] = [(" ", self.look.palette.dim)] * columns
        for place, sign in self._marks.items():
            cells[heights.column_of(place, count, columns)] = sign, self.look.palette.bad
        here = heights.column_of(self.place, count, columns) if count else 0
        cells[here] = (self.look.glyphs.pointer, self.look.palette.accent)
        worse = f"{self.look.glyphs.pointer}worse".center(_LABEL)
        return line((worse, self.look.palette.dim), *cells)

    def on_click(self, event: events.Click) -> None:
        """Go to the worst layer of the part that was clicked."""
        column = event.x - _LABEL
        count = len(self.session.run.layers)
        if 0 <= column < self._columns and count:
            places = charts.positions_of(column, count, self._columns)
            levels = np.nan_to_num(self.series["accum"][places.start : places.stop], nan=-1.0)
            offset = int(np.argmax(levels)) if len(levels) else 0
            self.post_message(self.Clicked(places.start + offset))
