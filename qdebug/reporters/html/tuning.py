"""The tuning section: quality against the number of units at more bits, as a figure."""

from __future__ import annotations

import math

from markupsafe import Markup

from qdebug.reporters.html import svg
from qdebug.run.tuning import CurvePoint, Measured, Tuning

_WIDTH, _HEIGHT = 640.0, 220.0
_BOX = svg.Box(56, 16, 560, 160)
_FEWEST = 2
_TICKS = 4
_PAD_DB = 1.0


def curve_figure(tuning: Tuning) -> Markup | None:
    """SQNR of every point of the curve by units added; None for less than two points."""
    points = [p for p in tuning.curve if math.isfinite(p.measured.sqnr_db)]
    if len(points) < _FEWEST:
        return None
    levels = [p.measured.sqnr_db for p in points]
    x = svg.Scale(0, math.log2(1 + max(p.added for p in points)), _BOX.left, _BOX.right)
    y = svg.Scale(min(levels) - _PAD_DB, max(levels) + _PAD_DB, _BOX.bottom, _BOX.top)

    def place(point: CurvePoint) -> svg.Point:
        return x(math.log2(1 + point.added)), y(point.measured.sqnr_db)

    parts: list[Markup] = [svg.rule(_BOX.left, _BOX.bottom, _BOX.right, _BOX.bottom)]
    for tick in range(_TICKS + 1):
        level = y.low + (y.high - y.low) * tick / _TICKS
        parts.append(svg.text(_BOX.left - 8, y(level) + 4, f"{level:.1f}", anchor="end"))
    for added in sorted({p.added for p in points}):
        at = x(math.log2(1 + added))
        parts.append(svg.text(at, _BOX.bottom + 18, str(added), anchor="middle"))
    for number, order in enumerate(("share", "share per MAC")):
        line = [p for p in points if p.order == order or p.added == 0]
        parts.append(svg.polyline(map(place, line), stroke_width=2, **svg.SERIES[number]))
    for point in points:
        at, level = place(point)
        told = f"{point.added} units, {point.macs:.1%} of the MACs: {point.measured.sqnr_db:.1f} dB"
        radius = 5 if point.chosen else 3
        title = svg.tag("title", told)
        parts.append(svg.tag("circle", title, cx=at, cy=level, r=radius, fill=svg.BLUE))
    below = _BOX.bottom + 38
    text = "units at more bits; solid: by share of the loss, dashed: by share per MAC; SQNR in dB"
    parts.append(svg.text(_BOX.left, below, text))
    return svg.figure("SQNR by units at more bits", _WIDTH, _HEIGHT, *parts)


def measured_text(measured: Measured | None) -> tuple[str, str, str]:
    """Loss, SQNR and task's number as a table shows them."""
    if measured is None:
        return "—", "—", "—"
    task = "—" if measured.task is None else f"{measured.task:.3f}"
    return f"{measured.loss:.2e}", f"{measured.sqnr_db:.1f}", task
