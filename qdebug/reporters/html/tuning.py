"""The tuning section: quality against units at more bits and against their cost, as figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from qdebug.reporters.html import svg
from qdebug.run.tuning import CurvePoint, Tuning
from qdebug.vocabulary.numbers import decibel, percent

_WIDTH, _HEIGHT = 640.0, 220.0
_BOX = svg.Box(56, 28, 560, 148)
_FEWEST = 2
_TICKS = 4
_PAD_DB = 1.0
_STYLES = "solid by share of the loss, dashed by share per MAC"


def curve_figures(tuning: Tuning) -> list[Markup]:
    """The error of every point of the curve, by units added and by MACs; none for one point."""
    points = [p for p in tuning.curve if math.isfinite(p.measured.sqnr_db)]
    if len(points) < _FEWEST:
        return []
    units = sorted({p.added for p in points})
    figures = [
        _curve(
            "Error by units at more bits",
            "units at more bits",
            points,
            lambda point: math.log2(1 + point.added),
            [(math.log2(1 + added), str(added)) for added in units],
        )
    ]
    most = max(p.macs for p in points)
    if most > 0:
        ticks = [most * step / _TICKS for step in range(_TICKS + 1)]
        told = [(share, percent(share)) for share in ticks]
        title, axis = "Error by share of the MACs at more bits", "share of the MACs at more bits"
        figures.append(_curve(title, axis, points, lambda point: point.macs, told))
    return figures


def _curve(
    title: str,
    axis: str,
    points: Sequence[CurvePoint],
    cost: Callable[[CurvePoint], float],
    ticks: Sequence[tuple[float, str]],
) -> Markup:
    levels = [p.measured.sqnr_db for p in points]
    x = svg.Scale(0, max(map(cost, points)), _BOX.left, _BOX.right)
    y = svg.Scale(min(levels) - _PAD_DB, max(levels) + _PAD_DB, _BOX.top, _BOX.bottom)
    parts: list[Markup] = [svg.rule(_BOX.left, _BOX.bottom, _BOX.right, _BOX.bottom)]
    for tick in range(_TICKS + 1):
        level = y.low + (y.high - y.low) * tick / _TICKS
        parts.append(svg.text(_BOX.left - 8, y(level) + 4, f"{level:.1f}", anchor="end"))
    for at, label in ticks:
        parts.append(svg.text(x(at), _BOX.bottom + 18, label, anchor="middle"))
    for number, order in enumerate(("share", "share per MAC")):
        line = sorted((p for p in points if p.order == order or p.added == 0), key=cost)
        drawn = [(x(cost(p)), y(p.measured.sqnr_db)) for p in line]
        style = {"class_" if k == "class" else k: v for k, v in svg.SERIES[number].items()}
        parts.append(svg.polyline(drawn, stroke_width=2, **style))
    parts += [_dot(point, x(cost(point)), y(point.measured.sqnr_db)) for point in points]
    parts.append(svg.text(6, 12, "SQNR, dB (taller is worse)"))
    parts.append(svg.text(_BOX.left, _BOX.bottom + 38, f"{axis}; {_STYLES}"))
    return svg.figure(title, _WIDTH, _HEIGHT, *parts)


def _dot(point: CurvePoint, x: float, y: float) -> Markup:
    told = f"{point.added} units, {percent(point.macs)} of the MACs"
    title = svg.tag("title", f"{told}: {decibel(point.measured.sqnr_db)} dB")
    radius = 5 if point.chosen else 3
    return svg.tag("circle", title, cx=x, cy=y, r=radius, fill=svg.BLUE, class_="fill0")
