"""A list of any length that draws only what is seen.

Textual's own ``DataTable`` measures every cell of every new row; with 50,000 layers that blocks for
seconds. This one asks for the cells of the lines on screen and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qdebug.tui.context import Look
from qdebug.tui.keys import bindings
from qdebug.tui.text import fit


@dataclass(frozen=True)
class Column:
    """A column of a list.

    Attributes:
        key: what it shows.
        title: its heading.
        width: cells it needs; the flexible column takes what is left and at least this.
        drop: columns with the highest number go first where room is short; 0 stays always.
        right: aligned to the right.
        flexible: takes the rest of the room.
        prose: what is too long loses its end; names lose their middle.
    """

    key: str
    title: str
    width: int
    drop: int = 0
    right: bool = False
    flexible: bool = False
    prose: bool = False


Cell = tuple[str, Style]


def fit_columns(columns: Sequence[Column], room: int) -> list[tuple[Column, int]]:
    """The columns that fit into ``room`` cells, one blank between them, and their widths."""
    kept = list(columns)
    while sum(c.width + 1 for c in kept) > room and any(c.drop for c in kept):
        kept.remove(max(kept, key=lambda c: c.drop))
    rest = max(room - sum(c.width + 1 for c in kept), 0)
    return [(c, c.width + (rest if c.flexible else 0)) for c in kept]


class LineTable(ScrollView, can_focus=True):
    """A list with a heading, a cursor, and rows that subclasses draw cell by cell."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("move")]
    DEFAULT_CSS = """
    LineTable { height: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; }
    """

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, table: LineTable) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable:
            """The list that it moved in."""
            return self.table

    class Opened(Moved):
        """A row was clicked twice."""

    class HeadingClicked(Moved):
        """A heading was clicked; ``key`` is its column."""

        def __init__(self, table: LineTable, key: str) -> None:
            super().__init__(table)
            self.key = key

    def __init__(self, look: Look, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self.cursor = 0

    # What subclasses say about their rows.

    @property
    def row_count(self) -> int:
        """Number of rows."""
        raise NotImplementedError

    def columns(self) -> Sequence[Column]:
        """The columns, from left to right."""
        raise NotImplementedError

    def cell(self, row: int, column: Column) -> Cell:
        """Text and style of one cell; the text is made to fit."""
        raise NotImplementedError

    def empty_text(self) -> str:
        """What stands there when no row does."""
        return "nothing here"

    def heading(self, column: Column) -> str:
        """Heading of a column."""
        return column.title

    @property
    def room(self) -> int:
        """Cells of a line: the scrollbar has its own whether it is there or not."""
        return max(self.size.width - 1, 1)

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the heading or a row."""
        width = self.room
        base = self.rich_style
        if y == 0:
            return self._heading_line(width, base)
        row = self.scroll_offset.y + y - 1
        if row >= self.row_count:
            note = f" {self.empty_text()}" if self.row_count == 0 and y == 2 else ""
            return Strip(
                [Segment(fit(note, width, self.look.glyphs), base + self.look.palette.dim)]
            )
        return self._row_line(row, width, base)

    def _heading_line(self, width: int, base: Style) -> Strip:
        style = base + self.look.palette.header
        segments = [
            Segment(fit(self.heading(c), w, self.look.glyphs, right=c.right) + " ", style)
            for c, w in fit_columns(self.columns(), width)
        ]
        return Strip(segments).adjust_cell_length(width, style)

    def _row_line(self, row: int, width: int, base: Style) -> Strip:
        palette, glyphs = self.look.palette, self.look.glyphs
        here = Style()
        if row == self.cursor:
            here = palette.cursor if self.has_focus else palette.cursor_idle
        segments = []
        for column, room in fit_columns(self.columns(), width):
            text, style = self.cell(row, column)
            shown = fit(text, room, glyphs, right=column.right, prose=column.prose)
            segments.append(Segment(shown, base + style + here))
            segments.append(Segment(" ", base + here))
        return Strip(segments).adjust_cell_length(width, base + here)

    # Moving.

    def rows_changed(self) -> None:
        """Draw again after the rows changed; keeps the cursor inside."""
        self.cursor = max(0, min(self.cursor, self.row_count - 1))
        self.virtual_size = Size(self.size.width, self.row_count + 1)
        self._show_cursor()
        self.refresh()

    def move_to(self, row: int, *, announce: bool = True) -> None:
        """Put the cursor on a row and show it."""
        row = max(0, min(row, self.row_count - 1))
        changed = row != self.cursor
        self.cursor = row
        self._show_cursor()
        self.refresh()
        if changed and announce:
            self.post_message(self.Moved(self))

    def _show_cursor(self) -> None:
        page = self._page
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, force=True, immediate=True)

    @property
    def _page(self) -> int:
        return max(self.size.height - 1, 1)

    def action_cursor_down(self) -> None:
        """One row down."""
        self.move_to(self.cursor + 1)

    def action_cursor_up(self) -> None:
        """One row up."""
        self.move_to(self.cursor - 1)

    def action_page_down(self) -> None:
        """A page down."""
        self._move_page(1)

    def action_page_up(self) -> None:
        """A page up."""
        self._move_page(-1)

    def _move_page(self, direction: int) -> None:
        step = direction * max(self._page - 1, 1)
        top = self.scroll_offset.y + step
        self.scroll_to(y=top, animate=False, force=True, immediate=True)
        self.move_to(self.cursor + step)

    def action_first(self) -> None:
        """To the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last row."""
        self.move_to(self.row_count - 1)

    # Events.

    def on_resize(self) -> None:
        """Keep the cursor in sight when the terminal changes."""
        self.rows_changed()

    def on_mount(self) -> None:
        """Measure the rows for the first time."""
        self.rows_changed()

    def on_focus(self) -> None:
        """The cursor looks different with the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different without the focus."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Choose a row, open it on the second click, or sort by a heading."""
        if event.y == 0:
            self._click_heading(event.x)
            return
        row = self.scroll_offset.y + event.y - 1
        if row < self.row_count:
            self.move_to(row)
            if event.chain == 2:
                self.post_message(self.Opened(self))

    def _click_heading(self, x: int) -> None:
        left = 0
        for column, width in fit_columns(self.columns(), self.room):
            if left <= x <= left + width:
                self.post_message(self.HeadingClicked(self, column.key))
                return
            left += width + 1
