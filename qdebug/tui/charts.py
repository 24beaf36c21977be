"""Charts out of characters: strips, two-sided histograms, bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from qdebug.reporters.heights import GOOD_DB, FloatArray, level_step
from qdebug.tui.context import Look
from qdebug.tui.text import fit
from qdebug.vocabulary.numbers import number

WARN_DB = 20.0


def positions_of(column: int, count: int, columns: int) -> range:
    """Positions that a column of ``binned_worst`` covers."""
    if count <= columns:
        place = column * count // columns
        return range(place, place + 1)
    return range(column * count // columns, (column + 1) * count // columns)


def level_glyph(level: float, look: Look) -> str:
    """One cell as high as a level 0..1; something is seen of every level above zero."""
    return look.glyphs.levels[level_step(level, len(look.glyphs.levels) - 1)]


def level_style(level: float, look: Look) -> Style:
    """Colour of an error bar: bad from 10 dB down, warning from 20 dB down."""
    if math.isnan(level):
        return look.palette.dim
    sqnr_db = (1.0 - level) * GOOD_DB
    return look.palette.grade(sqnr_db) if sqnr_db < WARN_DB else look.palette.calm


def bar(level: float, width: int, look: Look, style: Style) -> Text:
    """A bar of ``width`` cells, filled to a level 0..1."""
    filled = 0 if math.isnan(level) else max(round(level * width), int(level > 0))
    text = Text(look.glyphs.bar * filled, style=style, no_wrap=True, end="")
    text.append(look.glyphs.bar_track * (width - filled), look.palette.dim)
    return text


def bars(
    labels: Sequence[str], values: Sequence[float], unit: str, width: int, look: Look
) -> list[Text]:
    """One labelled bar a line, scaled to the largest absolute value."""
    finite = [abs(v) for v in values if math.isfinite(v)]
    largest = max(finite, default=0.0) or 1.0
    label_room = min(max((cell_len(label) for label in labels), default=0), max(width // 3, 6))
    numbers = [f"{look.glyphs.text(number(v))} {unit}".rstrip() for v in values]
    number_room = max((len(n) for n in numbers), default=0)
    room = max(width - label_room - number_room - 3, 4)
    lines = []
    for label, value, shown in zip(labels, values, numbers, strict=False):
        level = min(abs(value) / largest, 1.0) if math.isfinite(value) else math.nan
        line = Text(f"{fit(label, label_room, look.glyphs)} ", no_wrap=True, end="")
        line.append_text(bar(level, room, look, look.palette.accent))
        line.append(f" {shown.rjust(number_room)}")
        lines.append(line)
    return lines


def resample(counts: FloatArray, columns: int) -> FloatArray:
    """Counts spread over another number of even bins; their sum stays."""
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    at = np.linspace(0, len(counts), columns + 1)
    return np.diff(np.interp(at, np.arange(len(total)), total))


def two_sided_histogram(
    edges: Sequence[float],
    series: Mapping[str, Sequence[float]],
    marks: Mapping[str, float],
    width: int,
    height: int,
    look: Look,
    *,
    log: bool = False,
) -> list[Text]:
    """Two series on common bins, the first rising above the axis, the second hanging below it.

    Args:
        edges: ``[n + 1]`` bin edges.
        series: ``{name: [n counts]}``; one or two are drawn.
        marks: values to point at under the axis, by label.
        width: cells.
        height: lines of each side.
        look: how to draw.
        log: whether heights are logarithms of the counts.
    """
    columns = max(min(width - 2, 4 * (len(edges) - 1)), 8)
    styles = (look.palette.float_side, look.palette.quant_side)
    names = list(series)[:2]
    scaled = {name: resample(np.asarray(series[name], np.float64), columns) for name in names}
    if log:
        scaled = {name: np.log1p(values) for name, values in scaled.items()}
    top = max((float(v.max()) for v in scaled.values() if len(v)), default=0.0) or 1.0
    lines = [_legend(names, styles, look, log)]
    lines += _rising(scaled[names[0]] / top, height, look, styles[0]) if names else []
    lines.append(_axis(edges, marks, columns, look))
    if len(names) > 1:
        lines += _hanging(scaled[names[1]] / top, height, look, styles[1])
    lines.append(_scale(edges, columns, look))
    lines += _mark_lines(edges, marks, columns, look)
    return lines


def _legend(names: Sequence[str], styles: Sequence[Style], look: Look, log: bool) -> Text:
    line = Text(" ", no_wrap=True, end="")
    for name, style, where in zip(names, styles, ("above", "below"), strict=False):
        line.append(f"{look.glyphs.bar} {name} ", style)
        line.append(f"{where}   " if len(names) > 1 else "  ", look.palette.dim)
    line.append("log counts" if log else "counts", look.palette.dim)
    return line


def _rising(levels: FloatArray, height: int, look: Look, style: Style) -> list[Text]:
    glyphs = look.glyphs.levels
    steps = len(glyphs) - 1
    filled = np.ceil(levels * height * steps - 1e-9)
    lines = []
    for row in range(height - 1, -1, -1):
        cells = np.clip(filled - row * steps, 0, steps).astype(int)
        lines.append(Text(" " + "".join(glyphs[c] for c in cells), style, no_wrap=True, end=""))
    return lines


def _hanging(levels: FloatArray, height: int, look: Look, style: Style) -> list[Text]:
    glyphs = look.glyphs.levels
    steps = len(glyphs) - 1
    filled = np.ceil(levels * height * steps - 1e-9)
    lines = []
    for row in range(height):
        line = Text(" ", no_wrap=True, end="")
        for cell in np.clip(filled - row * steps, 0, steps).astype(int):
            if look.glyphs.ascii_only or cell in (0, steps):
                line.append(glyphs[cell], style)
            else:
                # A bar that hangs is the inverse of one that stands on what remains below it.
                line.append(glyphs[steps - cell], style + Style(reverse=True))
        lines.append(line)
    return lines


def _axis(edges: Sequence[float], marks: Mapping[str, float], columns: int, look: Look) -> Text:
    cells = [look.glyphs.line] * columns
    for value in marks.values():
        cells[_column(edges, value, columns)] = look.glyphs.pointer
    return Text(" " + "".join(cells), look.palette.dim, no_wrap=True, end="")


def _scale(edges: Sequence[float], columns: int, look: Look) -> Text:
    low, high = (
        look.glyphs.text(number(float(edges[0]))),
        look.glyphs.text(number(float(edges[-1]))),
    )
    cells = list(low + " " * max(columns - len(low) - len(high), 1) + high)
    zero = _column(edges, 0.0, columns)
    if edges[0] < 0 < edges[-1] and len(low) < zero < columns - len(high) - 1:
        cells[zero] = "0"
    return Text(" " + "".join(cells), look.palette.dim, no_wrap=True, end="")


def _mark_lines(
    edges: Sequence[float], marks: Mapping[str, float], columns: int, look: Look
) -> list[Text]:
    lines = []
    for label, value in sorted(marks.items(), key=lambda item: item[1]):
        column = _column(edges, value, columns)
        outside = "" if edges[0] <= value <= edges[-1] else ", beyond this plot"
        text = f"{look.glyphs.pointer} {label} {look.glyphs.text(number(value))}{outside}"
        indent = min(column, max(columns - len(text), 0))
        lines.append(Text(" " * (indent + 1) + text, look.palette.accent, no_wrap=True, end=""))
    return lines


def _column(edges: Sequence[float], value: float, columns: int) -> int:
    span = float(edges[-1]) - float(edges[0])
    if not span or not math.isfinite(value):
        return 0
    return min(max(int((value - float(edges[0])) / span * columns), 0), columns - 1)
