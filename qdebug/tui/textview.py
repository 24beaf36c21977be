"""A scrolling text of any length that draws only the lines that are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qdebug.tui.keys import bindings

Make = Callable[[int], Sequence[Text]]
"""Makes the lines for a width in cells."""


class TextView(ScrollView, can_focus=False):
    """Lines of text, made anew when the width changes."""

    DEFAULT_CSS = """
    TextView { scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; padding: 0 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Text] = ()
        self._make: Make = lambda _: ()
        self._made_for = Size(0, 0)

    @property
    def room(self) -> int:
        """Cells a line may have: the scrollbar has its own whether it is there or not."""
        return max(self.size.width - 1, 10)

    @property
    def lines(self) -> Sequence[Text]:
        """What it shows."""
        return self._lines

    def show(self, make: Make, *, keep_place: bool = False) -> None:
        """Show other lines, from the top unless the place is to be kept."""
        self._make = make
        if not self.size.width:
            self._made_for = Size(0, 0)  # not on the screen: on_resize makes them
            return
        self._made_for = self.outer_size
        self._lines = make(self.room)
        self.virtual_size = Size(self.room, len(self._lines))
        if not keep_place:
            self.scroll_to(y=0, animate=False, force=True, immediate=True)
        self.refresh()

    def on_resize(self) -> None:
        """Make the lines for the new size."""
        if self.outer_size != self._made_for:
            self.show(self._make, keep_place=True)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        row = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if row >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line, console = self._lines[row], self.app.console
        # Rich leaves a text's own style out where the text has no parts with styles of their own.
        strip = Strip(line.render(console)).apply_style(console.get_style(line.style))
        return strip.adjust_cell_length(width).apply_style(self.rich_style)


class ReadingView(TextView, can_focus=True):
    """A text that takes the focus and is scrolled by the keys of every list."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("move")]

    def action_cursor_down(self) -> None:
        """Some lines down."""
        self.scroll_relative(y=2, animate=False)

    def action_cursor_up(self) -> None:
        """Some lines up."""
        self.scroll_relative(y=-2, animate=False)

    def action_page_down(self) -> None:
        """A page down."""
        self.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """A page up."""
        self.scroll_page_up(animate=False)

    def action_first(self) -> None:
        """To the top."""
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        """To the end."""
        self.scroll_end(animate=False)
