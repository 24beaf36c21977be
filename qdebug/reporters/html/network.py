"""Error along the network in execution order, a line for each kind of error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from qdebug.reporters.board import board_db
from qdebug.reporters.html import svg
from qdebug.reporters.html.svg import Box, Scale
from qdebug.reporters.ranking import channel_db, first_bad, named_layers
from qdebug.reporters.text import accumulated_db, local_db, sensitivity_db
from qdebug.run.model import Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import decibel
from qdebug.vocabulary.states import BROKEN

WIDTH, HEIGHT = 1080.0, 320.0
_PLOT = Box(44, 30, WIDTH - 60, HEIGHT - 84)
_COLUMNS = 540
_MAX_MARKERS = 60
_TOP_DB, _BOTTOM_DB = 60.0, -20.0
_SERIES: tuple[tuple[str, Callable[[Layer], float | None]], ...] = (
    ("accumulated", accumulated_db),
    ("local", local_db),
    ("sensitivity", sensitivity_db),
    ("worst channel", channel_db),
    ("board", board_db),
)


def network_figure(run: Run) -> Markup:
    """The figure, taller is worse; of layers that share a column the lowest SQNR shows."""
    across = Scale(0, max(1, len(run.layers) - 1), _PLOT.left, _PLOT.right)
    up = _vertical_scale(run.layers)
    parts = [*_grid(up), *_limit(sqnr_limit(run), up), *_index_labels(run, across)]
    drawn = [
        (name, points, style)
        for (name, value_of), style in zip(_SERIES, svg.SERIES, strict=True)
        if any(points := _points(run.layers, value_of, across, up))
    ]
    for place, (name, points, given) in enumerate(drawn):
        style = {"class_" if k == "class" else k: v for k, v in given.items()}
        parts.append(svg.polyline(points, stroke_width=1.8, **style))
        parts += _legend(len(drawn) - place, name, style)
    parts += _first_bad(run, across)
    parts += _markers(run, across)
    return svg.figure(_summary(run), WIDTH, HEIGHT, *parts, class_="network")


def _summary(run: Run) -> str:
    bad = first_bad(run)
    where = f"first below the limit at layer {bad.index}" if bad else "no layer below the limit"
    sources = sum(layer.role == "source" for layer in run.layers)
    return (
        f"SQNR in dB of {len(run.layers)} layers in execution order: accumulated, local, "
        f"sensitivity, worst channel and board; limit {decibel(sqnr_limit(run))} dB; {where}; "
        f"{sources} sources of error"
    )


def _vertical_scale(layers: Sequence[Layer]) -> Scale:
    values = [v for layer in layers for _, get in _SERIES if (v := get(layer)) is not None]
    finite = [v for v in values if math.isfinite(v)]
    low = 10 * math.floor(min([0.0, *finite]) / 10)
    high = 10 * math.ceil(max([30.0, *finite]) / 10)
    return Scale(max(low, _BOTTOM_DB), min(high, _TOP_DB), _PLOT.top, _PLOT.bottom)


def _points(
    layers: Sequence[Layer],
    value_of: Callable[[Layer], float | None],
    across: Scale,
    up: Scale,
) -> list[svg.Point | None]:
    step = max(1, math.ceil(len(layers) / _COLUMNS))
    points: list[svg.Point | None] = []
    for start in range(0, len(layers), step):
        group = [
            (-math.inf if math.isnan(value) else value, layer)
            for layer in layers[start : start + step]
            if (value := value_of(layer)) is not None
        ]
        if not group:
            points.append(None)
            continue
        value, layer = min(group, key=lambda pair: pair[0])
        points.append((across(layer.index), up(value)))
    return points


def _grid(up: Scale) -> list[Markup]:
    parts = [svg.text(6, 18, "SQNR, dB (taller is worse)")]
    for level in range(int(up.low), int(up.high) + 1, 10):
        parts.append(svg.rule(_PLOT.left, up(level), _PLOT.right, up(level), stroke_opacity=0.25))
        parts.append(svg.text(_PLOT.left - 6, up(level) + 4, level, anchor="end"))
    return parts


def _limit(limit: float, up: Scale) -> list[Markup]:
    if not up.low <= limit <= up.high:
        return []
    y = up(limit)
    band = svg.tag(
        "rect", x=_PLOT.left, y=_PLOT.top, width=_PLOT.width, height=y - _PLOT.top, fill=svg.RED,
        fill_opacity=0.06, class_="band",
    )  # fmt: skip
    line = svg.rule(_PLOT.left, y, _PLOT.right, y, stroke=svg.RED, class_="limit")
    label = svg.text(_PLOT.right, y - 5, f"limit {decibel(limit)} dB", anchor="end")
    return [band, line, label]


def _index_labels(run: Run, across: Scale) -> list[Markup]:
    last = max(0, len(run.layers) - 1)
    ticks = sorted({round(last * share / 8) for share in range(9)})
    y = _PLOT.bottom + 34
    labels = [
        svg.text(across(i), y, f"#{i}", anchor="end" if i == last and i else "middle")
        for i in ticks
    ]
    return [*labels, svg.text(WIDTH / 2, HEIGHT - 4, "layer, in execution order", anchor="middle")]


def _legend(from_right: int, name: str, style: dict[str, str]) -> list[Markup]:
    x = WIDTH - 130 * from_right
    line = svg.rule(x, 14, x + 28, 14, **{"stroke_width": 2.5, **style})
    return [line, svg.text(x + 34, 18, name)]


def _first_bad(run: Run, across: Scale) -> list[Markup]:
    layer = first_bad(run)
    if layer is None:
        return []
    x = across(layer.index)
    late = x > WIDTH / 2
    style = {"stroke": svg.RED, "class_": "limit", "stroke_dasharray": "3 3"}
    line = svg.rule(x, _PLOT.top, x, _PLOT.bottom, **style)
    label = f"first below the limit: #{layer.index}"
    anchor = "end" if late else "start"
    return [line, svg.text(x - 6 if late else x + 6, _PLOT.top + 12, label, anchor=anchor)]


def _markers(run: Run, across: Scale) -> list[Markup]:
    """Triangles: layers that failed findings name, sources, broken ones; those first."""
    named = named_layers(run)
    kinds = {index: f"named by {slug}" for index, (_, slug) in named.items()}
    kinds |= {x.index: "source of error" for x in run.layers if x.role == "source"}
    kinds |= {x.index: "broken" for x in run.layers if x.state in BROKEN}
    first = sorted(kinds, key=lambda index: (index not in named, index))[:_MAX_MARKERS]
    return [_marker(run.layers[i], kinds[i], across(i)) for i in sorted(first)]


def _marker(layer: Layer, kind: str, x: float) -> Markup:
    title = svg.tag("title", f"#{layer.index} {kind}, local {decibel(local_db(layer))} dB")
    base = _PLOT.bottom + 16
    return svg.tag(
        "path", title, d=f"M{x - 6:.1f} {base:.1f}h12l-6 -12z", fill=svg.RED, class_="worst"
    )
