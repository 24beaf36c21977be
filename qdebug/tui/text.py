"""Text from models and files, made safe and exactly as wide as its place.

Names are data: brackets are not markup, control characters are written out, wide characters count
for two cells, and what is too long loses its middle, because tensor names differ at both ends.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from qdebug.tui.glyphs import Glyphs
from qdebug.vocabulary import names
from qdebug.vocabulary.names import ascii_text

_VARIATION = re.compile("[\ufe00-\ufe0f]")
"""Marks that change how wide the character before them is drawn."""


@lru_cache(maxsize=8192)
def visible(text: str, ascii_only: bool = False) -> str:
    """The text with every character that has no glyph of its own written as an escape.

    What a stored run says is harmless when it gets here; two things are the terminal's alone.
    Variation selectors are harmless, yet terminals disagree on how wide they make the character
    before them, which shifts everything behind it in a table. And a screen also shows what no run
    holds: file names, what was typed, a terminal without Unicode.
    """
    seen = _VARIATION.sub(lambda mark: f"\\u{ord(mark.group()):04x}", names.visible(text))
    return ascii_text(seen) if ascii_only else seen


@lru_cache(maxsize=8192)
def _cut(text: str, width: int, ellipsis: str) -> str:
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(width, 0))
    room = width - cell_len(ellipsis)
    # The end of a path tells layers apart more often than its beginning.
    tail_room = math.ceil(room * 0.6)
    tail = text[-tail_room:]
    while cell_len(tail) > tail_room:
        tail = tail[1:]
    head = set_cell_size(text, room - cell_len(tail))
    return f"{head}{ellipsis}{tail}"


def cut_middle(text: str, width: int, glyphs: Glyphs) -> str:
    """The text in at most ``width`` cells, visible, with an ellipsis for what was left out."""
    return _cut(visible(text, glyphs.ascii_only), width, glyphs.ellipsis)


def cut_end(text: str, width: int, glyphs: Glyphs) -> str:
    """Prose in at most ``width`` cells: its end is left out, not its middle."""
    shown = visible(text, glyphs.ascii_only)
    if cell_len(shown) <= width:
        return shown
    room = max(width - cell_len(glyphs.ellipsis), 0)
    return set_cell_size(shown, room).rstrip() + glyphs.ellipsis[: max(width, 0)]


def fit(text: str, width: int, glyphs: Glyphs, *, right: bool = False, prose: bool = False) -> str:
    """The text in exactly ``width`` cells."""
    short = (cut_end if prose else cut_middle)(text, width, glyphs)
    padding = " " * max(width - cell_len(short), 0)
    return padding + short if right else short + padding


def wrap(text: str, width: int, glyphs: Glyphs, style: Style | str = "") -> list[Text]:
    """Prose on as many lines as it needs; blank lines are kept, words are broken if they must."""
    lines: list[Text] = []
    for paragraph in text.split("\n"):
        lines.extend(_wrap_paragraph(visible(paragraph, glyphs.ascii_only), max(width, 8), style))
    return lines


def _wrap_paragraph(text: str, width: int, style: Style | str) -> list[Text]:
    indent = " " * min(len(text) - len(text.lstrip(" ")), width // 2)
    lines, line = [], indent
    for word in text.split():
        piece = word
        if line.strip() and cell_len(line) + 1 + cell_len(piece) > width:
            lines.append(line)
            line = indent
        while cell_len(line) + cell_len(piece) > width:
            room = width - cell_len(line)
            head = set_cell_size(piece, room).rstrip() or piece[:1]
            lines.append(line + head)
            piece, line = piece[len(head) :], indent
        line = f"{line} {piece}" if line.strip() else line + piece
    lines.append(line)
    return [Text(part, style=style, no_wrap=True, end="") for part in lines]
