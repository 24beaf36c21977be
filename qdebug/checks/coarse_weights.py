"""``coarse-weights``: weights with far fewer levels than 8 bits, or moved to another 8-bit grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdebug.analysis.weight_grid import Grid, leaves_grid
from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.differences import differences
from qdebug.checks.facts.effect import gain_of, gains_of, rounded, slip_status, status_of
from qdebug.checks.facts.evidence import gain_evidence, name_channels
from qdebug.checks.facts.grids import Coarse, coarse_weight, quantized_before
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import unless_other_model, weight_rows
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import tensor_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus

ONE_EACH = 3
"""Layers that get a finding each; more of them share one."""
_ON_PURPOSE = 0.5
"""Share of the weights from which coarse ones are the scheme and no slip. By judgement."""
_SHOWN = 30


def _coarse_weights(context: CheckContext) -> Iterator[Finding]:
    coarse, pairs = context.once(_coarse_of_all)
    yield from _few_levels(context, coarse, len(pairs))
    yield from _other_grid(context)


def _coarse_of_all(context: CheckContext) -> tuple[list[Coarse], list[WeightPair]]:
    """The coarse ones of the weights that are the float model's, and all of those."""
    mismatched = {item.pair.node for item in context.once(differences)}
    pairs = [p for p in context.pairing.weights if p.role == "weight" and p.node not in mismatched]
    coarse = (coarse_weight(context, pair) for pair in pairs)
    return [item for item in coarse if item is not None], pairs


# Few levels.


def _few_levels(context: CheckContext, found: Sequence[Coarse], total: int) -> Iterator[Finding]:
    on_purpose = len(found) >= _ON_PURPOSE * total and total > 1
    if len(found) > ONE_EACH:
        worst = sorted(found, key=lambda item: item.db)
        gain = gain_of(context, _change(worst))
        yield _coarse_finding(context, worst, gain, on_purpose)
        return
    gains = gains_of(context, [_change([item]) for item in found])
    for item, gain in zip(found, gains, strict=True):
        yield _coarse_finding(context, [item], gain, on_purpose)


def _change(found: Sequence[Coarse]) -> Change:
    return Change(weights=frozenset(item.pair.node for item in found))


def _coarse_finding(
    context: CheckContext, found: Sequence[Coarse], gain: Gain | None, on_purpose: bool
) -> Finding:
    first = found[0]
    label = context.float_graph.nodes[first.pair.node].label
    many = len(found) > 1
    told = f"the weights have about {first.bits:.1f} bits"
    title = f"{label}: {told}{_in_channels(first)}"
    if many:
        title = f"{len(found)} layers have coarse weights, first of all {title}"
    coarse = COARSE_WEIGHTS.found(
        _status(context, gain, on_purpose),
        title,
        f"In {label} {_which(first)} keep {first.db:.1f} dB. Their error is that of a step "
        f"{2 ** (8 - first.bits):.0f} times as large as 8 bits need over the same range.",
        f"Quantize the weights of {'these layers' if many else f'`{label}`'} with 8 bits and a "
        "scale of largest magnitude / 127, for each channel; where fewer bits are meant, give them "
        "to other layers.",
        layers=_layers(context, [item.pair for item in found]),
        evidence=[*gain_evidence(context, gain), _coarse_table(context, found)],
        gain_db=rounded(gain),
        confidence="high",
    )
    return context.cured_by(coarse, _change(found))


def _in_channels(item: Coarse) -> str:
    if len(item.channels) == item.total:
        return ""
    return f" in channel{'s' * (len(item.channels) > 1)} {name_channels(item.channels)}"


def _which(item: Coarse) -> str:
    if len(item.channels) == item.total:
        return f"all {item.total} channels"
    return f"{len(item.channels)} of {item.total} channels"


def _status(context: CheckContext, gain: Gain | None, on_purpose: bool) -> FindingStatus:
    """A slip in few layers is worth a warning where it costs; a scheme is judged by its effect."""
    return status_of(context, gain) if on_purpose else slip_status(context, gain, certain=True)


def _coarse_table(context: CheckContext, found: Sequence[Coarse]) -> Evidence:
    rows = [
        [
            context.float_graph.nodes[item.pair.node].label,
            item.pair.quantizer.dtype if item.pair.quantizer is not None else "float",
            name_channels(item.channels),
            round(item.bits, 1),
            round(item.db, 1),
        ]
        for item in found[:_SHOWN]
    ]
    columns = ["layer", "stored as", "coarse channels", "bits by the error", "SQNR, dB"]
    return Evidence("table", "Coarse weights", {"columns": columns, "rows": rows})


# Float weights that lie on a grid, quantized on another.


def _moved(context: CheckContext) -> tuple[list[tuple[float, WeightPair, Grid]], int, int]:
    """Weights that left their grid, the worst first; how many lay on one, how many were judged.

    With each, its SQNR in dB and the grid it was on.
    """
    coarse, pairs = context.once(_coarse_of_all)
    known = {item.pair.node for item in coarse}
    on_grids, judged = quantized_before(pair for pair in pairs if pair.node not in known)
    found = []
    for pair, grid in on_grids:
        f, q = weight_rows(pair)
        if f.shape == q.shape and leaves_grid(f, q, grid):
            found.append((tensor_db(f, q), pair, grid))
    return sorted(found, key=lambda item: item[0]), len(on_grids), judged


def _other_grid(context: CheckContext) -> Iterator[Finding]:
    found, on_grids, judged = context.once(_moved)
    if not found:
        return
    worst, pair, grid = found[0]
    cure = Change(weights=frozenset(p.node for _, p, _ in found))
    gain = gain_of(context, cure)
    label = context.float_graph.nodes[pair.node].label
    layers = "1 layer" if len(found) == 1 else f"{len(found)} layers"
    moved = COARSE_WEIGHTS.found(
        _status(context, gain, on_purpose=False),
        f"Float weights of {layers} lie on an 8-bit grid already, and were moved to another",
        f"The float weights of {label} are {grid.levels} equally spaced values, {grid.step:.4g} "
        f"apart: quantized with that scale they lose nothing, as they are now they keep "
        f"{worst:.1f} dB. {on_grids} of {judged} layers lie on such grids: the float model "
        "was made from a quantized one.",
        f"Quantize these weights per tensor with the scale and zero point of their own grid (for "
        f"`{label}`: {_parameters(grid)}), or start from the float model before it was quantized.",
        layers=_layers(context, [p for _, p, _ in found]),
        evidence=[*gain_evidence(context, gain), _grid_table(context, found)],
        gain_db=rounded(gain),
        confidence="high",
    )
    yield context.cured_by(moved, cure)


def _parameters(grid: Grid) -> str:
    return f"scale {grid.step:.6g}, uint8 zero point {round(-grid.low / grid.step)}"


def _grid_table(context: CheckContext, found: Sequence[tuple[float, WeightPair, Grid]]) -> Evidence:
    rows = [
        [
            context.float_graph.nodes[pair.node].label,
            grid.levels,
            _parameters(grid),
            round(db, 1),
        ]
        for db, pair, grid in found[:_SHOWN]
    ]
    columns = ["layer", "levels of the float weights", "their grid", "SQNR as quantized, dB"]
    return Evidence("table", "Weights that lie on a grid", {"columns": columns, "rows": rows})


def _layers(context: CheckContext, pairs: Sequence[WeightPair]) -> list[int]:
    known = context.once(layers_of_nodes)
    return [known[pair.node] for pair in pairs if pair.node in known]


COARSE_WEIGHTS = Check(KINDS["coarse-weights"], _coarse_weights, unless_other_model)
