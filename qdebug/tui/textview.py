"""A scrolling text of any length that draws only the lines that are seen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip


class TextView(ScrollView, can_focus=False):
    """Lines of text, each at most as wide as the view."""

    DEFAULT_CSS = """
    TextView { scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; padding: 0 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Text] = ()

    @property
    def room(self) -> int:
        """Cells a line may have, with the scrollbar on."""
        return max(self.scrollable_content_region.width - 1, 10)

    @property
    def lines(self) -> Sequence[Text]:
        """What it shows."""
        return self._lines

    def show(self, lines: Sequence[Text], *, keep_place: bool = False) -> None:
        """Show other lines, from the top unless the place is to be kept."""
        self._lines = lines
        self.virtual_size = Size(self.room, len(lines))
        if not keep_place:
            self.scroll_to(y=0, animate=False, force=True, immediate=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        row = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if row >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        segments = self._lines[row].render(self.app.console)
        strip = Strip(segments).adjust_cell_length(width)
        return strip.apply_style(self.rich_style)
