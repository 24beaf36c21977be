"""The layers where error enters, not every victim downstream."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from qdebug.metrics.entry import Metric
from qdebug.metrics.metric import LEAD
from qdebug.reporters.board import board_db
from qdebug.reporters.console.look import Look
from qdebug.reporters.ranking import causes, channel_db, glyph, named_layers
from qdebug.reporters.text import accumulated_db, local_db, sensitivity_db
from qdebug.run.filter import LayerIndex, parse_filter
from qdebug.run.gates import input_failed
from qdebug.run.model import Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import decibel, percent, plural
from qdebug.vocabulary.states import BROKEN, STATE_WORDS

_SHOWN = 20
_NARROWEST_NAME = 16
_MARK_STYLES = {"✗": "bold red", "✓": "green", "·": "dim"}
_UNITS = (
    f"{LEAD[0].title} in {LEAD[0].unit}; worst channel and "
    f"{', '.join(metric.title for metric in LEAD[1:])} are accumulated"
)


@dataclass(frozen=True)
class Ranking:
    """Layers in the order of interest, and what that order is."""

    title: str
    layers: list[Layer]


@dataclass(frozen=True)
class Column:
    """A right-aligned column of the table; a higher rank is dropped earlier on a narrow page."""

    title: str
    cell: Callable[[Layer], str]
    rank: int


def _accumulated(metric: Metric) -> Callable[[Layer], str]:
    return lambda layer: metric.write(getattr(layer.accumulated, metric.name, None))


_COLUMNS = (
    Column("local", lambda layer: decibel(local_db(layer)), 0),
    Column("accum", lambda layer: decibel(accumulated_db(layer)), 0),
    Column("board", lambda layer: decibel(board_db(layer)), 0),
    Column("sens", lambda layer: decibel(sensitivity_db(layer)), 3),
    Column("worst ch", lambda layer: decibel(channel_db(layer)), 2),
    *(Column(metric.short, _accumulated(metric), 1) for metric in LEAD[1:]),
    Column("clipped", lambda layer: percent(layer.clipped), 1),
)


def section(run: Run, look: Look) -> list[Text]:
    """The table; nothing where no layer was compared."""
    ranking = rank(run)
    shown = ranking.layers[:_SHOWN]
    if not shown:
        return []
    lines = look.hanging("", ranking.title, style="bold")
    if input_failed(run):
        lines += look.hanging("", "measured on a wrong input: put that right first", style="yellow")
    lines += _table(run, shown, look)
    lines += _rest(run, shown, ranking, look)
    return lines


def matching(run: Run, words: str, look: Look) -> list[Text]:
    """The layers that a filter finds, in execution order.

    Raises:
        FilterError: the filter is not understood.
    """
    found = parse_filter(words).select(LayerIndex(run.layers, run.findings))
    lines = _table(run, found, look) if found else []
    return [*lines, look.line(f"{len(found)} of {plural(len(run.layers), 'layer')}")]


def blamed(run: Run) -> list[int]:
    """Indices of the layers that failed findings name first, in the order of the findings."""
    return list(dict.fromkeys(finding.layers[0] for finding in causes(run)))


def rank(run: Run) -> Ranking:
    """Layers named by failed findings, and sources; else the worst local errors or drops."""
    named = blamed(run)
    broken = [x.index for x in run.layers if x.state in BROKEN and x.role != "victim"]
    sources = [x.index for x in sorted(run.layers, key=_local_key) if x.role == "source"]
    found = dict.fromkeys([*named, *broken[:2], *sources, *broken[2:]])
    if found:
        title = f"Layers where error enters ({_UNITS})"
        return Ranking(title, [run.layers[index] for index in found])
    measured = [x for x in run.layers if x.local is not None and x.state == "ok"]
    if measured:
        title = f"Layers with the lowest local SQNR ({_UNITS})"
        return Ranking(title, sorted(measured, key=_local_key))
    title = "Layers where the accumulated SQNR drops most (dB; local error was not measured)"
    return Ranking(title, _largest_drops(run))


def _local_key(layer: Layer) -> tuple[float, int]:
    value = local_db(layer)
    return (math.inf if value is None or math.isnan(value) else value, layer.index)


def _largest_drops(run: Run) -> list[Layer]:
    drops = [(_drop(run, layer), layer) for layer in run.layers if layer.state == "ok"]
    found = [(drop, layer) for drop, layer in drops if drop > 0]
    return [layer for _, layer in sorted(found, key=lambda item: (-item[0], item[1].index))]


def _drop(run: Run, layer: Layer) -> float:
    """By how many dB the layer lies below the worst of its inputs."""
    levels = [accumulated_db(run.layers[i]) for i in layer.inputs if 0 <= i < len(run.layers)]
    before = [level for level in levels if level is not None and math.isfinite(level)]
    own = accumulated_db(layer)
    if own is None or not math.isfinite(own) or not before:
        return 0.0
    return min(before) - own


def _columns(shown: list[Layer], look: Look) -> dict[Column, int]:
    """The columns that say something here, as many as leave room for the names, with their width.

    A width takes a look at every layer, so it is measured once.
    """
    absent = {
        "local": local_db,
        "board": board_db,
        "sens": sensitivity_db,
        "worst ch": channel_db,
    }
    columns = [
        c
        for c in _COLUMNS
        if c.title not in absent or any(absent[c.title](x) is not None for x in shown)
    ]
    widths = {c: _width(c, shown, look) for c in columns}
    while max(c.rank for c in widths) and _room(widths, shown, look) < _NARROWEST_NAME + 8:
        del widths[max(widths, key=lambda c: c.rank)]
    return widths


def _room(widths: dict[Column, int], shown: list[Layer], look: Look) -> int:
    """Cells left for name and op."""
    return look.width - 4 - _number_width(shown) - sum(width + 2 for width in widths.values())


def _number_width(shown: list[Layer]) -> int:
    return max(len(f"#{layer.index}") for layer in shown) + 2


def _width(column: Column, shown: list[Layer], look: Look) -> int:
    cells = [cell_len(look.safe(column.cell(layer))) for layer in shown]
    return max(len(column.title), *cells)


def _table(run: Run, shown: list[Layer], look: Look) -> list[Text]:
    columns, limit, named = _columns(shown, look), sqnr_limit(run), named_layers(run)
    room = _room(columns, shown, look)
    op_room = _op_width(shown, room, look)
    names = [cell_len(look.safe(x.name)) for x in shown]
    name_room = max(min(room - op_room, max(names)), 4)
    number_room = _number_width(shown)
    header = " " * (4 + number_room + name_room + op_room)
    header += "".join(f"  {c.title:>{width}}" for c, width in columns.items())
    lines = [look.line((header, "dim"))]
    for layer in shown:
        mark, _ = glyph(layer, limit, named)
        line = look.line(
            (f"  {look.safe(mark)} ", _MARK_STYLES.get(mark, "yellow")),
            f"{f'#{layer.index}':<{number_room}}",
            (look.fit(layer.name, name_room), "bold"),
        )
        line.append(f"  {look.fit(layer.op, op_room - 2)}" if op_room else "", "dim")
        for column, width in columns.items():
            line.append(f"  {look.fit(column.cell(layer), width, right=True)}")
        lines.append(line)
        lines += _state(layer, number_room, look)
    return lines


def _op_width(shown: list[Layer], room: int, look: Look) -> int:
    """Cells of the op and its margin; none where the names need them more."""
    if room < 40:
        return 0
    names = max(cell_len(look.safe(layer.name)) for layer in shown)
    longest = max(cell_len(look.safe(layer.op)) for layer in shown)
    return min(longest, max(room // 3, room - names - 2)) + 2


def _state(layer: Layer, number_room: int, look: Look) -> list[Text]:
    if layer.state == "ok":
        return []
    reason = f": {layer.reason}" if layer.reason else ""
    lead = " " * (4 + number_room)
    return look.hanging(lead, f"{STATE_WORDS[layer.state]}{reason}", style="yellow")


def _rest(run: Run, shown: list[Layer], ranking: Ranking, look: Look) -> list[Text]:
    victims = sum(layer.role == "victim" for layer in run.layers)
    told = []
    if len(ranking.layers) > len(shown):
        told.append(f"{len(ranking.layers) - len(shown)} more of these")
    if victims:
        told.append(f"{plural(victims, 'layer')} downstream only inherit it (victims)")
    told.append(f"{plural(len(run.layers), 'layer')} in all: qdebug browse RUN")
    return look.items(f"  {look.safe('…')} ", told, lead_style="dim")
