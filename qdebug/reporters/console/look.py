"""How wide the page is, which characters it may use, and laying out text on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from qdebug.vocabulary.names import ascii_text, visible

_LEVELS = " ▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "  ..::###"

STATUS_STYLES = {
    "fail": "bold red",
    "error": "bold red",
    "warn": "bold yellow",
    "inconclusive": "bold yellow",
    "pass": "bold green",
    "info": "cyan",
    "not_applicable": "dim",
}


@dataclass(frozen=True)
class Look:
    """The page.

    Attributes:
        width: columns.
        ascii_only: whether only ASCII may be used; other characters are replaced or escaped.
    """

    width: int = 100
    ascii_only: bool = False

    @property
    def levels(self) -> str:
        """Nine characters from an empty cell to a full one."""
        return _ASCII_LEVELS if self.ascii_only else _LEVELS

    def safe(self, text: object) -> str:
        """Text on one line in which nothing hides, in the characters of this page."""
        seen = visible(text)
        return ascii_text(seen) if self.ascii_only else seen

    def cut(self, text: object, width: int) -> str:
        """Safe text in at most ``width`` cells; what is too long loses its middle."""
        seen = self.safe(text)
        if cell_len(seen) <= width:
            return seen
        room = max(width - 1, 1)
        tail_room = room * 3 // 5
        tail = _last_cells(seen, tail_room)
        head = set_cell_size(seen, room - cell_len(tail)).rstrip()
        return f"{head}{self.safe('…')}{tail}"

    def fit(self, text: object, width: int, *, right: bool = False) -> str:
        """Safe text in exactly ``width`` cells."""
        short = self.cut(text, width)
        padding = " " * max(width - cell_len(short), 0)
        return padding + short if right else short + padding

    def line(self, *parts: tuple[str, str] | str) -> Text:
        """One line of already safe parts, each with a style or without."""
        return Text.assemble(*parts, no_wrap=True)

    def hanging(
        self,
        lead: str,
        text: object,
        *,
        lead_style: str = "",
        style: str = "",
        breaks: bool = True,
    ) -> list[Text]:
        """Text wrapped behind a lead that stands on the first line only.

        Args:
            lead: stands before the text.
            text: any text.
            lead_style: style of the lead.
            style: style of the text.
            breaks: whether words longer than the page are broken; a command to copy is not.
        """
        indent = min(cell_len(lead), self.width // 2)
        rows = self._wrapped(self.safe(text), self.width - indent, breaks)
        first = self.line((self.safe(lead), lead_style), (rows[0], style))
        return [first, *(self.line(" " * indent, (row, style)) for row in rows[1:])]

    def items(self, lead: str, items: Iterable[str], *, lead_style: str = "") -> list[Text]:
        """Items with dots between, broken only between items where they fit on a line."""
        indent = cell_len(lead)
        rows: list[str] = []
        for item in map(self.safe, items):
            joined = f"{rows[-1]} {self.safe('·')} {item}" if rows else item
            if rows and cell_len(joined) <= self.width - indent:
                rows[-1] = joined
            else:
                rows += self._wrapped(item, self.width - indent, breaks=True)
        if not rows:
            return []
        first = self.line((self.safe(lead), lead_style), rows[0])
        return [first, *(self.line(" " * indent, row) for row in rows[1:])]

    def _wrapped(self, text: str, width: int, breaks: bool) -> list[str]:
        rows, row = [], ""
        for word in text.split(" "):
            rest = word
            if row and cell_len(row) + 1 + cell_len(rest) > width:
                rows.append(row)
                row = ""
            while breaks and cell_len(rest) > width:
                rows.append(set_cell_size(rest, width).rstrip())
                rest = rest[len(rows[-1]) :]
            row = f"{row} {rest}" if row else rest
        return [*rows, row]


def join(sections: Sequence[list[Text]]) -> Text:
    """The sections with a blank line between; empty ones are left out. Ends in a newline."""
    page = Text(no_wrap=True)
    filled = [section for section in sections if section]
    for number, section in enumerate(filled):
        if number:
            page.append("\n")
        for line in section:
            line.rstrip()
            page.append_text(line)
            page.append("\n")
    return page


def _last_cells(text: str, width: int) -> str:
    tail = text[-width:] if width else ""
    while cell_len(tail) > width:
        tail = tail[1:]
    return tail
