"""The small figures: histograms, bars, channels, boxes on a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from qdebug.reporters.heights import GOOD_DB, binned_worst, channel_levels
from qdebug.reporters.html import svg
from qdebug.reporters.html.svg import Box, Scale, as_float
from qdebug.vocabulary.numbers import decibel, number

_WIDTH, _HEIGHT = 420.0, 170.0
_PLOT = Box(8, 22, _WIDTH - 16, _HEIGHT - 44)
_MAX_COLUMNS = 128
_MATCH_STYLE: Mapping[str, Mapping[str, str | float]] = {
    "kept": {"class_": "kept", "stroke": svg.TEAL},
    "lost": {"class_": "lost", "stroke": svg.RED, "stroke_width": 3.0},
    "new": {"class_": "new", "stroke": svg.ORANGE, "stroke_dasharray": "5 3"},
}

FloatArray = npt.NDArray[np.float64]


def histogram(
    title: str,
    edges: Sequence[float],
    series: Mapping[str, Sequence[float]],
    marks: Mapping[str, float],
) -> Markup:
    """Counts of up to three series on common bins, on a logarithmic scale.

    Args:
        title: accessible name.
        edges: ``n + 1`` ascending bin edges.
        series: ``n`` counts by name; the first is drawn filled, the others as outlines.
        marks: values to mark with a vertical line, for instance the representable range.
    """
    low, high = as_float(edges[0]), as_float(edges[-1])
    across = Scale(low, high, _PLOT.left, _PLOT.right)
    counts = {name: np.array([as_float(c) for c in values]) for name, values in series.items()}
    top = max((float(np.nanmax(c, initial=1.0)) for c in counts.values()), default=1.0)
    parts: list[Markup] = []
    for rank, (name, values) in enumerate(list(counts.items())[:3]):
        heights = np.nan_to_num(np.log1p(np.maximum(values, 0)) / math.log1p(top))
        parts += _series(rank, name, heights)
    for row, (name, mark) in enumerate(marks.items()):
        parts += _mark(name, as_float(mark), across, row)
    parts += [
        svg.rule(_PLOT.left, _PLOT.bottom, _PLOT.right, _PLOT.bottom),
        svg.text(_PLOT.left, _HEIGHT - 6, number(low)),
        svg.text(_PLOT.right, _HEIGHT - 6, number(high), anchor="end"),
        svg.text(_WIDTH / 2, _HEIGHT - 6, "value (counts on a log scale)", anchor="middle"),
    ]
    return svg.figure(title, _WIDTH, _HEIGHT, *parts)


def _series(rank: int, name: str, heights: FloatArray) -> list[Markup]:
    style = svg.SERIES[rank]
    legend_x = _PLOT.left + 130 * rank
    if rank == 0:
        drawn = svg.columns(
            heights.tolist(), _PLOT, fill=style["stroke"], fill_opacity=0.35, class_="fill0"
        )
        key = svg.tag(
            "rect", x=legend_x, y=5, width=14, height=10, fill=style["stroke"],
            fill_opacity=0.35, class_="fill0",
        )  # fmt: skip
    else:
        drawn = svg.polyline(_outline(heights), stroke_width=1.5, **style)
        key = svg.rule(legend_x, 10, legend_x + 14, 10, **{"stroke_width": 2.0, **_line(style)})
    return [drawn, key, svg.text(legend_x + 20, 14, name)]


def _outline(heights: FloatArray) -> list[svg.Point]:
    """Steps along the tops of the columns."""
    width = _PLOT.width / max(1, len(heights))
    points = []
    for i, height in enumerate(heights.tolist()):
        y = _PLOT.top + (1 - height) * _PLOT.height
        points += [(_PLOT.left + i * width, y), (_PLOT.left + (i + 1) * width, y)]
    return points


def _mark(name: str, value: float, across: Scale, row: int) -> list[Markup]:
    if not math.isfinite(value) or not across.low <= value <= across.high:
        return []
    x = across(value)
    anchor = "end" if x > _WIDTH / 2 else "start"
    offset = -4 if anchor == "end" else 4
    y = _PLOT.top + 10 + 14 * (row % 3)
    label = svg.text(x + offset, y, f"{name} {number(value)}", anchor=anchor)
    line = svg.rule(x, _PLOT.top, x, _PLOT.bottom, stroke=svg.RED, class_="limit")
    return [line, label]


def channels(title: str, values: npt.NDArray[np.float32], worst: int | None) -> Markup:
    """Accumulated error of every channel, taller is worse; many share a column, the worst showing.

    A channel whose SQNR is not finite, or below 0 dB, is as tall as the figure.
    """
    levels = channel_levels(values)
    heights = binned_worst(levels, min(len(levels), _MAX_COLUMNS))
    plot = Box(34, 10, _WIDTH - 42, _HEIGHT - 40)
    bars = svg.columns(
        np.maximum(heights, 0.01).tolist(), plot, fill=svg.BLUE, fill_opacity=0.55, class_="fill0"
    )
    told = f"channel 0 to {len(values) - 1}, dB, taller is worse"
    parts = [
        bars,
        svg.rule(plot.left, plot.bottom, plot.right, plot.bottom),
        svg.text(30, plot.top + 10, decibel(0.0), anchor="end"),
        svg.text(30, plot.bottom, decibel(GOOD_DB), anchor="end"),
        svg.text(_WIDTH / 2, _HEIGHT - 6, told, anchor="middle"),
    ]
    if worst is not None and 0 <= worst < len(values):
        x = plot.left + (worst + 0.5) * plot.width / len(values)
        mark = f"M{x - 5:.1f} {plot.bottom + 9:.1f}h10l-5 -8z"
        parts.append(svg.tag("path", d=mark, fill=svg.RED, class_="worst"))
    return svg.figure(title, _WIDTH, _HEIGHT, *parts)


def bar(value: float, largest: float) -> Markup:
    """One horizontal bar for a table cell; its number stands beside it."""
    share = abs(value) / largest if largest > 0 and math.isfinite(value) else 0.0
    filled = svg.tag(
        "rect", width=round(100 * min(share, 1.0), 1), height=10, fill=svg.BLUE, class_="fill1"
    )
    return svg.tag(
        "svg", filled, viewBox="0 0 100 10", width=100, height=10, class_="bar", aria_hidden="true"
    )


def boxes(
    picture: Markup, width: int, height: int, drawn: Sequence[Mapping[str, Any]], title: str
) -> Markup:
    """A picture with boxes whose coordinates are shares of it."""
    parts: list[Markup] = [picture]
    stroke = max(width, height) / 300
    for box in drawn:
        x1, y1, x2, y2 = (min(max(as_float(v), 0.0), 1.0) for v in box["xyxy"])
        if any(math.isnan(v) for v in (x1, y1, x2, y2)):
            continue
        style = dict(_MATCH_STYLE.get(str(box.get("match")), _MATCH_STYLE["kept"]))
        style["stroke_width"] = round(stroke * as_float(style.get("stroke_width", 2.0)), 2)
        place = {
            "x": min(x1, x2) * width,
            "y": min(y1, y2) * height,
            "width": abs(x2 - x1) * width,
            "height": abs(y2 - y1) * height,
        }
        parts.append(svg.tag("rect", fill="none", **place, **style))
    return svg.figure(title, width, height, *parts, class_="picture")


def _line(style: Mapping[str, str]) -> dict[str, object]:
    return {"class_" if key == "class" else key: value for key, value in style.items()}
