"""The accumulated error along the network, taller is worse, drawn with blocks."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from rich.text import Text

from qdebug.reporters.console.layers import blamed
from qdebug.reporters.console.look import Look
from qdebug.run.model import Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import plural

_ROWS = 4
_AXIS = 7
_LEAST_TOP_DB = 40.0
_MOST_TOP_DB = 60.0
_TOP_STEP_DB = 20  # so that every row stands for a whole number of dB
_FEWEST_LAYERS = 2


@dataclass(frozen=True)
class Column:
    """Some neighbouring layers of the chart.

    Attributes:
        worst_db: their lowest accumulated SQNR, 0 for a broken layer.
        first: index of the first layer.
    """

    worst_db: float
    first: int


def section(run: Run, look: Look) -> list[Text]:
    """The chart; nothing for fewer than two layers."""
    layers = [layer for layer in run.layers if _level(layer) is not None]
    if len(layers) < _FEWEST_LAYERS:
        return []
    columns = columns_of(layers, look.width - _AXIS - 1)
    limit = sqnr_limit(run)
    top = _top(columns, limit)
    title = "Accumulated SQNR along the network, dB: taller is worse (each column its worst layer)"
    lines = look.hanging("", title, style="bold")
    lines += [_row(row, columns, top, limit, look) for row in reversed(range(_ROWS))]
    lines.append(_axis(layers, columns, top, look))
    return [*lines, *_marks(run, columns, look), *_below(layers, limit, look)]


def _marks(run: Run, columns: list[Column], look: Look) -> list[Text]:
    """Where the layers are that failed findings name: a whole-tensor SQNR may not show them."""
    named = [index for index in blamed(run) if index >= columns[0].first]
    if not named:
        return []
    starts = [column.first for column in columns]
    places = {bisect_right(starts, index) - 1 for index in named}
    marks = "".join("▲" if at in places else " " for at in range(max(places) + 1))
    told = "".join(f" #{index}" for index in sorted(named))
    lead = look.line(" " * _AXIS, (look.safe(marks), "bold red"))
    return [lead, *look.hanging(" " * _AXIS, f"▲ named by failed findings:{told}", style="dim")]


def _below(layers: list[Layer], limit: float, look: Look) -> list[Text]:
    below = [layer for layer in layers if (_level(layer) or 0.0) < limit]
    told = f"limit {limit:g} dB (dots)"
    if below:
        told += f": {plural(len(below), 'layer')} below it, #{below[0].index} first"
    return look.hanging(" " * _AXIS, told, style="dim")


def columns_of(layers: list[Layer], width: int) -> list[Column]:
    """The layers in at most ``width`` columns of nearly equal size, in execution order."""
    count = min(width, len(layers))
    groups = [
        layers[i * len(layers) // count : (i + 1) * len(layers) // count] for i in range(count)
    ]
    return [
        Column(min(_level(layer) or 0.0 for layer in group), group[0].index) for group in groups
    ]


def _level(layer: Layer) -> float | None:
    """Height of a layer; None where it says nothing about error."""
    if layer.state in ("not_compared", "low_signal", "zero_both") or layer.accumulated is None:
        return None
    value = layer.accumulated.sqnr_db
    return 0.0 if math.isnan(value) else max(value, 0.0)


def _top(columns: list[Column], limit: float) -> float:
    finite = [column.worst_db for column in columns if math.isfinite(column.worst_db)]
    highest = min(max([*finite, limit + 10, _LEAST_TOP_DB]), max(_MOST_TOP_DB, limit + 10))
    return _TOP_STEP_DB * math.ceil(highest / _TOP_STEP_DB)


def _row(row: int, columns: list[Column], top: float, limit: float, look: Look) -> Text:
    """One line of the chart, ``row`` 0 on the axis; an error as tall as the SQNR lies below top."""
    step = top / _ROWS
    low = row * step
    empty = look.safe("·") if low < top - limit <= low + step else " "
    line = look.line((f"{top - low - step:5.0f} {look.safe('┤')}", "dim"))
    for column in columns:
        share = (top - min(column.worst_db, top) - low) / step
        eighths = max(0, min(8, math.ceil(share * 8))) if share > 0 else 0
        style = "red" if column.worst_db < limit else ""
        line.append(look.levels[eighths] if eighths else empty, style if eighths else "dim")
    return line


def _axis(layers: list[Layer], columns: list[Column], top: float, look: Look) -> Text:
    labels = f"#{layers[0].index}"
    last = f"#{layers[-1].index}"
    room = len(columns) - len(labels) - len(last)
    if room < 1:
        return look.line((f"{top:5.0f} {look.safe('┴')}{look.safe('─') * len(columns)}", "dim"))
    return look.line((f"{top:5.0f} {look.safe('┴')}{labels}{look.safe('─') * room}{last}", "dim"))
