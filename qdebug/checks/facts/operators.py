"""Layers of the quant graph that compute something else than the float ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qdebug.analysis.operators import OperatorError, OperatorTest
from qdebug.capture.stats import Range
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import EXCELLENT_DB
from qdebug.checks.facts.groups import foreign_groups
from qdebug.checks.facts.outputs import lowest_output_db
from qdebug.checks.facts.suspect import Suspect, made, says_why, suspect_of
from qdebug.checks.facts.task import task_is_harmed
from qdebug.checks.facts.upstream import moved_up
from qdebug.graph.model import Array, Node
from qdebug.graph.operators import ACTIVATIONS, CLIPPING, LAYOUT, QUANTIZE_OPS
from qdebug.graph.pairs import Pair, WeightPair
from qdebug.graph.regions import FROZEN, OTHER_VALUES, Comparison, Region, Regions

SOUND_DB = 40.0
"""Without quantization, layers that compute the same agree to at least 54 dB, float16 graphs and
approximate activations included, and to 125 dB in float32 (every pair of the zoo,
``docs/benchmarks.md``); a layer beyond this computes something else."""
OWN_SHARE = 0.1
"""Share of a layer's local error, over all samples, that another operator must explain on the
first one: less is quantization's. The gain at the outputs decides what it is worth."""
ROUNDED = 2.0
"""Times ``step^2 / 12`` up to which a local error is rounding: that of the result, and as much from
the operands."""
RESOLVED = 2.5
"""Steps of the layer's quantizer by which equal operators may differ all the same: tables, other
roundings and corrections of an offset move results by one or two codes."""
EXCESS = 10.0
"""Local error by that times what rounding (``step^2 / 12``) and clipping explain. Sound layers of
the zoo stay below it but for some weighted ones; it only counts together with a parameter that
differs."""
CONTRADICTED_DB = 10.0
"""A layer that computes something else cannot come out so much better in the whole run: an input
of it is paired with something else, or in another layout."""
_OF_VALUES = frozenset({FROZEN, OTHER_VALUES})
_CERTAIN = frozenset({"transA", "transB"}) | _OF_VALUES
"""Parameters that are another function wherever they differ; the gain tells what that costs."""
_HALF_DB = 3.0  # what half of an error's power makes
_FOLDINGS = (0, 1, 2)
"""How often a normalization may stand in the weights of a twin; more was never seen."""
_SIX, _SIX_EXACTLY = 6.0, 1e-5  # float32 of 6 / 255, times 255
_EPSILON = 1e-5  # default of BatchNormalization
_FIT, _MISFIT = 0.1, 0.3
"""Relative L2 error of 8-bit weights against those they were made from is below the first, by the
widest per-tensor weights of the zoo; factors of a normalization that matter differ by more than
the second."""


def suspects(context: CheckContext) -> list[Suspect]:
    """Layers that compute something else, in execution order; ``once`` per context."""
    measured = context.once(_measured)
    if measured is None:
        return []
    errors, regions = measured
    found = [
        *_passed_by(context, regions),
        *_folded_twice(context, regions),
        *_cut_at_six(context, regions),
        *_other_groups(context, regions),
    ]
    known = {suspect.at for suspect in found}
    for at in range(len(context.layers)):
        region = regions.region(at)
        if at not in known and region.float_nodes and region.quant_nodes:
            found += _by_numbers(context, regions, region, errors.get(at))
    return sorted(found, key=lambda suspect: suspect.at)


def _measured(context: CheckContext) -> tuple[dict[int, OperatorError], Regions] | None:
    """What the layers compute otherwise without quantization; None where nothing is amiss."""
    fine = lowest_output_db(context) >= EXCELLENT_DB and not context.once(task_is_harmed)
    what_if = context.what_if
    if fine or what_if is None or not what_if.feeds:
        return None
    graphs = context.float_graph, context.quant_graph
    feeds, settings = what_if.feeds[0], what_if.settings
    test = OperatorTest(graphs, context.pairing, feeds, settings, what_if.max_memory)
    errors = test.errors(at for at in range(len(context.layers)) if not _explained(context, at))
    return errors, test.regions


def unexplained(context: CheckContext) -> list[int]:
    """Layers that are far off with all but a constant of them in float, which accuses nobody.

    Codes that stand for none of the float layer's constants stay as they are: what differs may be
    the constant or the operator, and is not the rounding of activations and weights.
    """
    errors, _ = context.once(_measured) or ({}, None)
    return [
        at
        for at, error in sorted(errors.items())
        if not (error.exact or error.between or _is_alike(context, at, error))
        and _is_most_of(context, at, error)
        and not _is_contradicted(context, at, error)
    ]


def _explained(context: CheckContext, at: int) -> bool:
    """Whether rounding alone explains a layer's local error: nothing is left for an operator."""
    local, limits = context.layers[at].local, context.layer(at).range
    if local is None or not local.mse >= 0:
        return False
    rounding = 0.0 if limits is None else limits.step**2 / 12
    return local.sqnr_db >= SOUND_DB + _HALF_DB or local.mse <= ROUNDED * rounding


def _by_numbers(
    context: CheckContext, regions: Regions, region: Region, error: OperatorError | None
) -> Iterator[Suspect]:
    """A layer that differs with nothing quantized, or whose parameters differ for certain."""
    compared = regions.compare(region)
    cut = _cut_instead(context, region, compared, error)
    certain = {d.parameter for _, d in compared.differences} & _CERTAIN
    if certain:
        is_suspect = not certain & _OF_VALUES or _counts(context, region.at, error)
    elif error is not None and error.exact:
        is_suspect = _differs(context, region.at, error, compared, is_cut=cut is not None)
    else:
        compared = _plain(compared)
        is_suspect = bool(compared.differences) and region.is_single
        is_suspect &= _exceeds(context, region.at) and not _is_sound(error)
    if is_suspect:
        suspect = suspect_of(region, compared, error)
        yield cut or moved_up(context, regions, region, compared, suspect)


def _differs(
    context: CheckContext, at: int, error: OperatorError, compared: Comparison, *, is_cut: bool
) -> bool:
    """Whether a layer computes something else, by what it gives with nothing quantized."""
    if _is_sound(error) or error.peak < RESOLVED or not _is_most_of(context, at, error):
        return False
    if error.between and not says_why(compared):
        return False  # it may be a range between the operators that cuts values off
    return is_cut or not _is_contradicted(context, at, error)


def _counts(context: CheckContext, at: int, error: OperatorError | None) -> bool:
    """Whether a constant that is another one, or stands where none should, changes the layer."""
    if _is_alike(context, at, error):
        return False
    return error is None or not _is_contradicted(context, at, error)


def _plain(compared: Comparison) -> Comparison:
    """Parameters that differ alone, without those that another layout changes as well."""
    plain = [
        (n, d)
        for n, d in compared.differences
        if n.op not in LAYOUT and d.parameter not in ("operator", "group")
    ]
    return Comparison(tuple(plain), (), ())


def _is_sound(error: OperatorError | None) -> bool:
    return error is not None and error.sqnr_db >= SOUND_DB


def _is_alike(context: CheckContext, at: int, error: OperatorError | None) -> bool:
    """Whether a layer has the float values all the same, up to rounding."""
    if _explained(context, at):
        return True
    return error is not None and (_is_sound(error) or error.peak < RESOLVED)


def _is_most_of(context: CheckContext, at: int, error: OperatorError) -> bool:
    """Whether another operator explains most of the local error: not so where rounding does.

    What a range cuts off is another matter: a layer may have both faults.
    """
    local = context.layers[at].local
    return local is None or not error.error < OWN_SHARE * local.rounding_mse


def _exceeds(context: CheckContext, at: int) -> bool:
    """Whether a layer's local error is far beyond what rounding and clipping make of it."""
    local, limits = context.layers[at].local, context.layer(at).range
    if local is None or limits is None:
        return False
    explained = limits.step**2 / 12 + local.clipping_mse
    return local.mse > EXCESS * explained


def _is_contradicted(context: CheckContext, at: int, error: OperatorError) -> bool:
    """Whether the real run has the right value here: then what the layer was fed with is not."""
    accumulated = context.layers[at].accumulated
    return accumulated is not None and accumulated.sqnr_db > error.cut_db + CONTRADICTED_DB


# A reader passes by the activation that went into a quantizer.


def _passed_by(context: CheckContext, regions: Regions) -> Iterator[Suspect]:
    """Layers whose activation is left to the quantizer while someone reads what is before it."""
    for at, pair in enumerate(context.pairing.pairs):
        maker = _folded_activation(context, regions, at, pair)
        if maker is None:
            continue
        readers = context.quant_graph.readers.get(pair.raw, ())
        past = [n for n in readers if n.op not in QUANTIZE_OPS]
        is_output = pair.raw in context.quant_graph.outputs
        if not past and not is_output:
            continue
        who = ", ".join(f"{n.op} {n.label}" for n in past) or "an output"
        what = f"{who} reads the value before the {maker.op}, which only the quantizer computes"
        yield made(regions.region(at), maker, what)


def _folded_activation(context: CheckContext, regions: Regions, at: int, pair: Pair) -> Node | None:
    """The float activation that only this layer's quantizer computes in the quant graph."""
    graph = context.float_graph
    maker = graph.producer.get(pair.float_tensor)
    if maker is None or maker.op not in CLIPPING or not pair.path:
        return None
    if pair.raw_form.quantizer is not None:
        return None  # codes: they have been through the quantizer
    before = maker.inputs[0]
    if before in graph.outputs or len(graph.readers.get(before, ())) != 1:
        return None  # the float graph too reads what is before it
    kinds = [n.op for n in regions.region(at).quant_nodes]
    return None if any(kind in CLIPPING or kind == "FusedConv" for kind in kinds) else maker


# A Relu in place of another activation, which went into a quantizer.


def _cut_instead(
    context: CheckContext, region: Region, compared: Comparison, error: OperatorError | None
) -> Suspect | None:
    """A layer of which an activation is gone, where a range that begins at 0 cuts values off.

    It is the range of the activation's operand or of its result. In the first case the real run
    is nearer to the float value than the layer that is fed with uncut values.
    """
    gone = [n for n in compared.missing if n.op in ACTIVATIONS - CLIPPING]
    if len(gone) != 1 or compared.added or compared.differences:
        return None
    around = {*gone[0].inputs, *gone[0].outputs}
    for at in (region.at, *sorted(region.quant_sources)):
        limits, moments = context.layer(at).range, context.layer(at).moments
        if context.pairing.pairs[at].float_tensor not in around or limits is None:
            continue
        if limits.low == 0 and moments is not None and float(moments.min_f.min()) < -limits.step:
            held = f"the range {limits.low:g}..{limits.high:.3g}"
            what = f"{held}, as of a Relu, instead of {gone[0].op}"
            return replace(made(region, gone[0], what, error), ranges=(at,))
    return None


# A Relu6 that went into a quantizer.


def _cut_at_six(context: CheckContext, regions: Regions) -> Iterator[Suspect]:
    """Layers of a plain Relu whose quantizer ends at exactly 6, the bound of Relu6."""
    for at, pair in enumerate(context.pairing.pairs):
        maker, moments = context.float_graph.producer.get(pair.float_tensor), None
        limits = context.layer(at).range
        if maker is not None and maker.op == "Relu" and limits is not None:
            moments = context.layer(at).moments
        if moments is None or limits is None or maker is None:
            continue
        if _ends_at_six(limits) and limits.is_left_by(0.0, float(moments.max_f.max())):
            what = "the range of its quantizer ends at exactly 6, as Relu6 does"
            region = regions.region(at)
            cuts = any(n.op in CLIPPING and n.op != maker.op for n in region.quant_nodes)
            # a quantizer may give the tensor before the activation the same range
            before = [i for i in region.float_sources if _holds_six(context, i)]
            ranges = (*before, *([] if cuts else [at]))
            yield replace(made(region, maker, what), ranges=ranges, is_range=not cuts)


def _holds_six(context: CheckContext, at: int) -> bool:
    limits = context.layer(at).range
    return limits is not None and _ends_at_six(limits)


def _ends_at_six(limits: Range) -> bool:
    """Whether a range was calibrated on values up to 6.

    A symmetric one has its highest code there or, by the step that a toolchain takes (12 / 255 or
    6 / 128), half a step or a whole one before it.
    """
    steps = (0.0, 0.5, 1.0) if limits.is_symmetric else (0.0,)
    ends = [limits.high + part * limits.step for part in steps]
    return any(abs(end - _SIX) <= _SIX_EXACTLY * _SIX for end in ends)


# Groups spelled out as a whole convolution that reads other groups' channels.


def _other_groups(context: CheckContext, regions: Regions) -> Iterator[Suspect]:
    at_of = {pair.float_tensor: at for at, pair in enumerate(context.pairing.pairs)}
    for node, what in foreign_groups(context.pairing.weights, regions):
        at = _place(context, node, at_of)
        if at is not None:
            yield made(regions.region(at), node, what)


# A normalization stands in the weights and behind them, or neither.


def _folded_twice(context: CheckContext, regions: Regions) -> Iterator[Suspect]:
    at_of = {pair.float_tensor: at for at, pair in enumerate(context.pairing.pairs)}
    for weight in context.pairing.weights:
        norm = _norm_behind(context, weight) if weight.role == "weight" else None
        factor = _factor(regions, norm) if norm is not None else None
        if norm is None or factor is None:
            continue
        times = _times_folded(weight, factor)
        due = 0 if weight.folded is None else 1
        at = _place(context, norm, at_of)
        if times is None or times == due or at is None:
            continue
        what = (
            "BatchNormalization is folded into the weights and computed as well"
            if times > due
            else "BatchNormalization is neither computed nor folded into the weights"
        )
        conv = at_of.get(context.float_graph.nodes[weight.node].outputs[0])
        suspect = made(regions.region(at), norm, what)
        yield replace(suspect, along=() if conv is None else (conv,))


def _norm_behind(context: CheckContext, weight: WeightPair) -> Node | None:
    output = context.float_graph.nodes[weight.node].outputs[0]
    readers = context.float_graph.readers.get(output, ())
    return readers[0] if len(readers) == 1 and readers[0].op == "BatchNormalization" else None


def _place(context: CheckContext, node: Node, at_of: dict[str, int]) -> int | None:
    """The layer of a node, or of what alone reads its result."""
    tensor = node.outputs[0]
    while tensor not in at_of:
        readers = context.float_graph.readers.get(tensor, ())
        if len(readers) != 1:
            return None
        tensor = readers[0].outputs[0]
    return at_of[tensor]


def _factor(regions: Regions, norm: Node) -> Array | None:
    parts = [regions.float_constants.value(name) for name in norm.inputs[1:5]]
    if any(part is None for part in parts):
        return None
    gamma, _, _, variance = (np.asarray(part, np.float64) for part in parts)
    factor: Array = gamma / np.sqrt(variance + float(norm.attributes.get("epsilon", _EPSILON)))
    return factor


def _times_folded(weight: WeightPair, factor: Array) -> int | None:
    """How often the factor stands in the twin's weight; None where that cannot be told."""
    plain, twin = weight.float_value.astype(np.float64), weight.quant_value.astype(np.float64)
    shape = [1] * plain.ndim
    shape[weight.channel_axis] = -1
    if plain.shape[weight.channel_axis] != factor.size:
        return None
    errors = []
    for times in _FOLDINGS:
        scaled = plain * (factor**times).reshape(shape)
        errors.append(float(np.linalg.norm(scaled - twin) / max(np.linalg.norm(scaled), 1e-30)))
    best = int(np.argmin(errors))
    others = [error for times, error in enumerate(errors) if times != best]
    return best if errors[best] < _FIT and min(others) > _MISFIT else None
