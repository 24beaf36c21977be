"""The network as a picture: its modules, and in each module its layers.

Thousands of layers stay small: those of one colour are one path, and only layers with a card are
links of their own. The page's script finds the others by where the pointer is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qdebug.reporters.heights import error_level
from qdebug.reporters.html import svg
from qdebug.reporters.html.layered import Place, band_tops, layout
from qdebug.reporters.ranking import Named, channel_db, named_layers
from qdebug.reporters.text import accumulated_db
from qdebug.run.model import Layer, Run
from qdebug.run.modules import Module, build
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel, plural
from qdebug.vocabulary.states import BROKEN, HARMLESS

LEVELS = 4
"""Shades of the error; none is the paper."""
_MANY = 240
"""A module of more layers than this is shown as the modules inside it, by judgement."""
_MAX_GROUPS = 120
"""With more modules than this the names hold no structure, and layers go by their number."""
_CHUNK = 100
_MAX_OPEN = 4
_NODE, _STEP, _ACROSS = 14, 20, 50
_BOX, _BOX_STEP, _BOXES_ACROSS = (132, 38), (144, 52), 7
_LABEL = 15


@dataclass(frozen=True)
class Group:
    """A module of the picture.

    Attributes:
        label: its path.
        layers: its layers, in execution order.
        worst: lowest SQNR in dB of a layer or a channel of it; None without a number.
        marks: what it holds, ``2 sources``, most telling first.
        figure: the picture of its layers.
        is_open: whether it is shown unfolded.
    """

    label: str
    layers: tuple[Layer, ...]
    worst: float | None
    marks: str
    figure: Markup
    is_open: bool


@dataclass(frozen=True)
class NetworkPicture:
    """The overview and the modules it leads to."""

    overview: Markup
    groups: tuple[Group, ...]


def network_picture(run: Run, with_card: Collection[int]) -> NetworkPicture:
    """The picture of a run's network.

    Args:
        run: the run.
        with_card: indices of the layers whose card the page has, to which links may lead.
    """
    named = named_layers(run)
    groups: list[Group] = []
    for label, layers in grouped(run.layers):
        telling = [layer for layer in layers if _kind(layer, named) in ("named", "source")]
        is_open = bool(telling) and sum(group.is_open for group in groups) < _MAX_OPEN
        figure = _module_figure(label, layers, named, with_card)
        groups.append(
            Group(label, tuple(layers), _worst(layers), _marks(layers, named), figure, is_open)
        )
    return NetworkPicture(_overview(groups), tuple(groups))


def grouped(layers: Sequence[Layer]) -> list[tuple[str, list[Layer]]]:
    """Layers by module, in order of each module's first layer; by number where names tell none."""
    root = build(layers, range(len(layers)))
    found = sorted(_split(root, "", layers), key=lambda item: item[1][0].index)
    if len(found) > _MAX_GROUPS or (len(found) == 1 and len(layers) > _MANY):
        return list(_chunks("", layers))
    return found


def _split(module: Module, path: str, layers: Sequence[Layer]) -> Iterator[tuple[str, list[Layer]]]:
    """A module whole where it is small, else what is in it."""
    if path and len(whole := module.all_layers()) <= _MANY:
        yield path, [layers[i] for i in whole]
        return
    if module.layers:
        yield from _loose(path, [layers[i] for i in module.layers])
    for inner in module.modules.values():
        yield from _split(inner, f"{path}/{inner.label}" if path else inner.label, layers)


def _loose(path: str, own: Sequence[Layer]) -> Iterator[tuple[str, list[Layer]]]:
    """Layers beside modules, together where they follow each other, so that data runs forward."""
    runs: list[list[Layer]] = []
    for layer in own:
        if runs and layer.index == runs[-1][-1].index + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    for run in runs:
        if len(run) == 1:
            yield run[0].name, run
        else:
            yield from _chunks(path, run)


def _chunks(path: str, layers: Sequence[Layer]) -> Iterator[tuple[str, list[Layer]]]:
    for start in range(0, len(layers), _CHUNK):
        part = list(layers[start : start + _CHUNK])
        yield f"{path} #{part[0].index} to #{part[-1].index}".strip(), part


def _level(layer: Layer) -> float:
    """Error of a layer, 0..1, by its worst channel where there is one; NaN without a number."""
    if layer.state in BROKEN:
        return 1.0
    if layer.state in HARMLESS:
        return math.nan
    channel = channel_db(layer)
    return error_level(accumulated_db(layer) if channel is None else channel)


def _shade(level: float) -> int:
    """The shade of a level, 0 to 4; -1 without a number.

    Squared, by judgement, so that what 8 bits usually cost (20 dB and more) stays pale.
    """
    return -1 if math.isnan(level) else round(level * level * LEVELS)


def _worst(layers: Sequence[Layer]) -> float | None:
    values = [
        -math.inf if math.isnan(value) else value
        for layer in layers
        if layer.state not in HARMLESS
        for value in (accumulated_db(layer), channel_db(layer))
        if value is not None
    ]
    return min(values, default=None)


def _kind(layer: Layer, named: Named) -> str:
    """What marks a layer: broken, named by a finding, source, victim, kept in float, or nothing."""
    if layer.index in named or layer.state in BROKEN:
        return "named"
    if layer.role in ("source", "victim"):
        return str(layer.role)
    return "float" if layer.quant is None else ""


def _marks(layers: Sequence[Layer], named: Named) -> str:
    kinds = [_kind(layer, named) for layer in layers]
    told = (
        (kinds.count("named"), "named by a finding or broken"),
        (kinds.count("source"), "source" if kinds.count("source") == 1 else "sources"),
        (kinds.count("victim"), "victim" if kinds.count("victim") == 1 else "victims"),
    )
    return ", ".join(f"{count} {word}" for count, word in told if count)


def _module_figure(
    label: str, layers: Sequence[Layer], named: Named, with_card: Collection[int]
) -> Markup:
    position = {layer.index: i for i, layer in enumerate(layers)}
    inputs = [[position[i] for i in layer.inputs if i in position] for layer in layers]
    places = layout(inputs, _ACROSS)
    tops = band_tops(places)
    corners = [_corner(place, tops) for place in places]
    nodes, signs = _nodes(layers, corners), _signs(layers, corners, named)
    parts = [_edges(inputs, places, corners), *nodes, *signs]
    parts += [
        _link(layer, corner)
        for layer, corner in zip(layers, corners, strict=True)
        if layer.index in with_card
    ]
    width = _STEP * (max(place.column for place in places) + 1) + 6
    height = _STEP * tops[-1] + 8 * (len(tops) - 2) + 6
    title = f"{plural(len(layers), 'layer')} of {label}"
    return _sized(title, width, height, parts, "module")


def _sized(title: str, width: float, height: float, parts: Sequence[Markup], kind: str) -> Markup:
    """A figure as large as it says, which scrolls where there is no room."""
    return svg.tag(
        "svg", *parts, viewBox=f"0 0 {width} {height}", width=width, height=height,
        class_=f"figure graph {kind}", role="group", aria_label=visible(title),
    )  # fmt: skip


def _corner(place: Place, tops: Sequence[int]) -> tuple[int, int]:
    return _STEP * place.column + 3, _STEP * (tops[place.band] + place.row) + 8 * place.band + 3


def _edges(
    inputs: Sequence[Sequence[int]], places: Sequence[Place], corners: Sequence[tuple[int, int]]
) -> Markup:
    """Lines between layers of one band."""
    drawn = [
        _line(corners[i], corners[node], _NODE, _NODE // 2)
        for node, given in enumerate(inputs)
        for i in given
        if places[i].band == places[node].band
    ]
    return svg.tag("path", d="".join(drawn), stroke=svg.GRAY, fill="none", class_="edge")


def _line(start: tuple[int, int], end: tuple[int, int], width: int, half: int) -> str:
    """From the right side of one square to the left side of another."""
    return f"M{start[0] + width} {start[1] + half}L{end[0]} {end[1] + half}"


def _nodes(layers: Sequence[Layer], corners: Sequence[tuple[int, int]]) -> Iterator[Markup]:
    """One path a shade; the script reads the layers' numbers, and from the path their places."""
    shades = [_shade(_level(layer)) for layer in layers]
    for shade in sorted(set(shades)):
        here = [i for i, own in enumerate(shades) if own == shade]
        squares = (f"M{corners[i][0]} {corners[i][1]}h{_NODE}v{_NODE}h-{_NODE}z" for i in here)
        yield svg.tag(
            "path",
            d="".join(squares),
            stroke=svg.GRAY,
            fill="none" if shade < 0 else svg.RED,
            fill_opacity=None if shade < 0 else shade / LEVELS,
            stroke_dasharray="2 2" if shade < 0 else None,
            class_="node none" if shade < 0 else "node",
            data_layers=" ".join(str(layers[i].index) for i in here),
        )


_SIGNS = {
    "named": ("M{0} {1}m2 2l10 10m0 -10l-10 10", "none"),
    "source": ("M{0} {1}m7 2l5 10h-10z", svg.BLUE),
    "victim": ("M{0} {1}m5 5h4v4h-4z", svg.BLUE),
    "float": ("M{0} {1}m3 11h8", "none"),
}
"""How a kind is drawn into its square: a cross, a triangle, a dot, a line at the foot."""


def _signs(
    layers: Sequence[Layer], corners: Sequence[tuple[int, int]], named: Named
) -> Iterator[Markup]:
    kinds = [_kind(layer, named) for layer in layers]
    for kind, (drawn, fill) in _SIGNS.items():
        here = [drawn.format(*corners[i]) for i, own in enumerate(kinds) if own == kind]
        if here:
            yield _sign(kind, "".join(here), fill)


def _sign(kind: str, path: str, fill: str) -> Markup:
    width = 2 if fill == "none" else 1
    return svg.tag(
        "path", d=path, fill=fill, stroke=svg.BLUE, stroke_width=width, class_=f"sign {kind}"
    )


def _link(layer: Layer, corner: tuple[int, int]) -> Markup:
    name = f"#{layer.index} {visible(layer.name)}, {visible(layer.op)}"
    told = f"{name}: accumulated {decibel(accumulated_db(layer))} dB"
    area = svg.tag(
        "rect", svg.tag("title", told), x=corner[0], y=corner[1], width=_NODE, height=_NODE,
        fill="none", pointer_events="all",
    )  # fmt: skip
    return svg.tag("a", area, href=f"#layer-{layer.index}", aria_label=name)


def _overview(groups: Sequence[Group]) -> Markup:
    """The modules as boxes, coloured by their worst layer, each a link to its layers."""
    owner = {layer.index: i for i, group in enumerate(groups) for layer in group.layers}
    inputs = [
        sorted({owner[i] for layer in group.layers for i in layer.inputs if i in owner} - {place})
        for place, group in enumerate(groups)
    ]
    places = layout(inputs, _BOXES_ACROSS)
    tops = band_tops(places)
    corners = [
        (_BOX_STEP[0] * p.column + 3, _BOX_STEP[1] * (tops[p.band] + p.row) + 3) for p in places
    ]
    lines = [
        _line(corners[i], corners[node], _BOX[0], _BOX[1] // 2)
        for node, given in enumerate(inputs)
        for i in given
        if i < node and places[i].band == places[node].band
    ]
    edges = svg.tag("path", d="".join(lines), stroke=svg.GRAY, fill="none", class_="edge")
    boxes = [_box(i, group, corners[i]) for i, group in enumerate(groups)]
    width = _BOX_STEP[0] * (max(p.column for p in places) + 1)
    height = _BOX_STEP[1] * tops[-1]
    return _sized(plural(len(groups), "module"), width, height, [edges, *boxes], "overview")


def _box(number: int, group: Group, corner: tuple[int, int]) -> Markup:
    x, y = corner
    shade = max(0, *(_shade(_level(layer)) for layer in group.layers))
    worst = "no number" if group.worst is None else f"worst {decibel(group.worst)} dB"
    rect = svg.tag(
        "rect", x=x, y=y, width=_BOX[0], height=_BOX[1], rx=4, stroke=svg.GRAY, fill=svg.RED,
        fill_opacity=0.6 * shade / LEVELS, class_="node",
    )  # fmt: skip
    told = f"{group.label}: {plural(len(group.layers), 'layer')}, {worst}"
    marked = f"{told}; {group.marks}" if group.marks else told
    parts = [
        svg.tag("title", visible(marked)),
        rect,
        svg.text(x + 6, y + 15, _shortened(group.label), class_="name"),
        svg.text(x + 6, y + 31, worst),
    ]
    return svg.tag("a", *parts, href=f"#module-{number}")


def _shortened(label: str) -> str:
    """The end of a path, which tells modules apart."""
    shown = visible(label)
    return shown if len(shown) <= _LABEL else f"…{shown[1 - _LABEL :]}"


def legend() -> Markup:
    """The shades and the signs, in words."""
    parts: list[Markup] = []
    x = 3
    for shade in range(LEVELS + 1):
        parts.append(_swatch(x, svg.RED, shade / LEVELS))
        x += _STEP
    parts.append(svg.text(x + 4, 15, "error of the worst channel, darker is worse"))
    x += 272
    words = {"named": "named or broken", "source": "source", "victim": "victim",
             "float": "not quantized"}  # fmt: skip
    for kind, word in words.items():
        drawn, fill = _SIGNS[kind]
        parts += [_swatch(x, "none", 1.0), _sign(kind, drawn.format(x, 3), fill)]
        parts.append(svg.text(x + 20, 15, word))
        x += 34 + 8 * len(word)
    return _sized("What the shades and signs mean", x, _STEP, parts, "legend")


def _swatch(x: int, fill: str, opacity: float) -> Markup:
    return svg.tag(
        "rect", x=x, y=3, width=_NODE, height=_NODE, stroke=svg.GRAY, fill=fill,
        fill_opacity=opacity, class_="node",
    )  # fmt: skip
