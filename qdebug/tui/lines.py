"""Small pieces that text views are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from qdebug.run.model import Finding
from qdebug.tui.context import Look
from qdebug.tui.text import cut_middle, fit, visible, wrap
from qdebug.vocabulary.numbers import number


def line(*parts: str | tuple[str, Style | str]) -> Text:
    """One line from plain and styled parts."""
    return Text.assemble(*parts, no_wrap=True, end="")


def blank() -> Text:
    """An empty line."""
    return Text("", no_wrap=True, end="")


def title(text: str, width: int, look: Look) -> Text:
    """A heading."""
    return line((cut_middle(text, width, look.glyphs), look.palette.bold))


def labelled(
    label: str, text: str, width: int, look: Look, style: Style | str = "", indent: int = 13
) -> list[Text]:
    """A dim label with text beside it, wrapped under itself."""
    wrapped = wrap(text, width - indent, look.glyphs, style)
    lines = []
    for row_number, part in enumerate(wrapped):
        head = label if row_number == 0 else ""
        row = line((head.ljust(indent), look.palette.dim))
        row.append_text(part)
        lines.append(row)
    return lines


def status_glyph(status: str, look: Look) -> tuple[str, Style]:
    """Glyph and style of a status of a finding or a verdict."""
    glyphs, palette = look.glyphs, look.palette
    known = {
        "fail": (glyphs.fail, palette.bad),
        "error": (glyphs.fail, palette.warn),
        "warn": (glyphs.warn, palette.warn),
        "pass": (glyphs.passed, palette.good),
        "info": (glyphs.info, palette.accent),
        "inconclusive": ("?", palette.warn),
        "not_applicable": (glyphs.none, palette.dim),
    }
    return known.get(status, ("?", palette.dim))


def finding_lines(finding: Finding, width: int, look: Look) -> list[Text]:
    """A finding in words: title, seen, do, gain."""
    glyph, style = status_glyph(finding.status, look)
    head = f"{glyph} {finding.id} {finding.slug}"
    lines = [line((visible(head, look.glyphs.ascii_only), style))]
    lines += wrap(finding.title, width, look.glyphs, look.palette.bold)
    lines += labelled("seen", finding.seen, width, look, indent=6) if finding.seen else []
    lines += labelled("do", finding.advice, width, look, indent=6) if finding.advice else []
    if finding.gain_db is not None:
        gain = number(round(finding.gain_db, 1))
        text = f"about {gain} dB at the output ({finding.confidence} confidence)"
        lines += labelled("gain", text, width, look, indent=6)
    return lines


def cell_text(value: Any) -> str:
    """A cell of a table: a number as text, a text as it is."""
    return value if isinstance(value, str) else number(value)


def grid(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int, look: Look
) -> list[Text]:
    """A table; columns shrink from the widest until it fits."""
    texts = [[visible(cell_text(cell), look.glyphs.ascii_only) for cell in row] for row in rows]
    heads = [visible(c, look.glyphs.ascii_only) for c in columns]
    widths = [
        max([cell_len(head), *(cell_len(row[i]) for row in texts if i < len(row))])
        for i, head in enumerate(heads)
    ]
    room = max(width - 2 * len(widths), len(widths))
    if sum(widths) > room and _READABLE * sum(widths) > room:
        return _records(heads, texts, width, look)
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    numeric = [_is_numeric(rows, i) for i in range(len(heads))]
    lines = [_grid_row(heads, widths, numeric, look, look.palette.dim)]
    lines += [_grid_row(row, widths, numeric, look, "") for row in texts]
    return lines


_READABLE = 0.75
"""Share of its natural width below which a table is shown row by row instead."""


def _records(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, look: Look
) -> list[Text]:
    """A table as one paragraph a row: its first cell, and the others as ``name value``."""
    lines: list[Text] = []
    for row in rows:
        lines += wrap(row[0] if row else "", width, look.glyphs, look.palette.bold)
        parts = [f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=False)]
        separator = f" {look.glyphs.dot} "
        lines += wrap("  " + separator.join(parts), width, look.glyphs)
    return lines


def _is_numeric(rows: Sequence[Sequence[Any]], column: int) -> bool:
    cells = [row[column] for row in rows if column < len(row)]
    return bool(cells) and all(c is None or isinstance(c, (int, float)) for c in cells)


def _grid_row(
    cells: Sequence[str],
    widths: Sequence[int],
    numeric: Sequence[bool],
    look: Look,
    style: Style | str,
) -> Text:
    row = line()
    for cell, width, right in zip(cells, widths, numeric, strict=False):
        shown = style or _cell_style(cell, look)
        row.append(fit(cell, width, look.glyphs, right=right), shown)
        row.append("  ")
    return row


def _cell_style(cell: str, look: Look) -> Style | str:
    """Verdict words in a table stand out, by weight as well as colour."""
    word = cell.strip().lower()
    if word in ("differs", "mismatch", "wrong", "fail", "no"):
        return look.palette.bad
    if word in ("equal", "ok", "agrees", "pass"):
        return look.palette.good
    return ""
