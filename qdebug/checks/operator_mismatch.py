"""``operator-mismatch``: a layer of the quant graph computes something else than the float one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from qdebug.analysis.operators import OperatorError
from qdebug.analysis.what_if import COUNTED_DB, Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import (
    DAMAGED_DB,
    FINE_DB,
    WARN_GAIN_DB,
    WORTH_DB,
    free,
    gain_of,
    is_doubtful,
    rounded,
)
from qdebug.checks.facts.evidence import gain_evidence
from qdebug.checks.facts.operators import SOUND_DB, suspects
from qdebug.checks.facts.outputs import lowest_output_db
from qdebug.checks.facts.own_values import unfit_for_own_values, without_own_values
from qdebug.checks.facts.reach import downstream
from qdebug.checks.facts.read_wrongly import ReadWrongly, outputs_read_wrongly
from qdebug.checks.facts.suspect import Suspect
from qdebug.checks.facts.task import task_is_harmed
from qdebug.graph.pairs import Quantizer
from qdebug.metrics.sqnr import level_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus

TRIED = 12
"""Groups of layers whose gain is computed, in the order of execution."""
_BY_NAME = ("name", "qdq")
NAMED = 3
"""Findings at most; more layers than that follow from one cause in the converter."""


def _operator_mismatch(context: CheckContext) -> Iterator[Finding]:
    yield from map(_read_wrongly, outputs_read_wrongly(context))
    groups = _groups(context, context.once(suspects))[:TRIED]
    gains = [_gain(context, group) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -(g.db if (g := gains[i]) else 0.0))
    for i in order[:NAMED]:
        yield context.cured_by(_finding(context, groups[i], gains[i]), _cure(context, groups[i]))


def _read_wrongly(wrong: ReadWrongly) -> Finding:
    is_bad = wrong.worst_db is not None and wrong.worst_db < DAMAGED_DB
    return OPERATOR_MISMATCH.found(
        "fail" if is_bad else "warn",
        wrong.title,
        wrong.seen,
        wrong.advice,
        layers=wrong.layers,
        gain_db=round(wrong.gain_db, 2) if is_bad and wrong.gain_db is not None else None,
        confidence="high",
    )


def _undone(context: CheckContext, group: Sequence[Suspect]) -> Change:
    """What these layers should compute in place of what they do.

    Of a Transpose that permutes otherwise, whichever wins more: its own result as the float graph
    lays it out, or the layers behind it in the layout in which they are paired.
    """
    turned = group[0].turned
    straight = None if turned is None else _straight(context, turned)
    found = _in_place(context, group)
    if straight is None:
        return found
    gains = [gain_of(context, change, everywhere=True) for change in (found, straight)]
    known = [-math.inf if gain is None else gain.db for gain in gains]
    return straight if known[1] > known[0] else found


def _in_place(context: CheckContext, group: Sequence[Suspect]) -> Change:
    """The float model's operators on the twin's own tensors, in place of what these layers compute.

    What comes from the layers before stays as it is, so that the gain is the operator's alone.
    Where the operators cannot be put there, or do not give the float values of the float run's
    inputs (they read something that is paired wrongly), these values themselves stand in. Each is
    put in the layout in which it is paired.
    """
    given = Change(given=frozenset(s.at for s in group))
    at = frozenset(a for s in group for a in (s.at, *s.along))
    computed = Change(computed=at)
    what_if = context.what_if
    if what_if is None or not what_if.is_possible(computed):
        return given
    before = frozenset(i for a in at for i in what_if.sources(a)) - at
    fed = free(context, before).on_top_of(Change(given=before))
    right, found = gain_of(context, given), gain_of(context, computed.on_top_of(fed))
    if right is None or found is None or gain_of(context, computed) is None:
        return given
    return computed if found.db >= right.db - WORTH_DB else given


def _cure(context: CheckContext, group: Sequence[Suspect]) -> Change:
    """The operators undone, and ranges behind them that hold what they give."""
    ranges = Change(quantizers=_fitted_behind(context, group))
    return ranges if group[0].is_range else ranges.on_top_of(_undone(context, group))


def _gain(context: CheckContext, group: Sequence[Suspect]) -> Gain | None:
    """Gain of undoing what these layers compute otherwise, at the damaged parts of the outputs.

    Elsewhere too where it costs half of the error's power: another operator is no matter of
    resolution, and wrong however much the output has left.
    """
    counted = _gain_at(context, group, everywhere=False)
    if counted is None or counted.db >= WARN_GAIN_DB:
        return counted
    anywhere = _gain_at(context, group, everywhere=True)
    best = anywhere if anywhere is not None and anywhere.db >= WARN_GAIN_DB else counted
    return None if best.db < WORTH_DB and _stays_turned(context, group[0]) else best


def _straight(context: CheckContext, turned: int) -> Change | None:
    """What a Transpose that permutes otherwise should give, laid out as in the float graph.

    All behind it is paired in the layout that it makes, in which its value is right as it is.

    Returns:
        None where the twin cannot go on with such a value.
    """
    at = frozenset({turned})
    given = Change(given=at, straight=at)
    what_if = context.what_if
    if what_if is None or gain_of(context, given, everywhere=True) is None:
        return None
    computed = Change(computed=at, straight=at)
    before = what_if.sources(turned)
    is_plain = all(context.pairing.pairs[i].read_form.perm is None for i in before)
    return computed if is_plain and gain_of(context, computed) is not None else given


def _stays_turned(context: CheckContext, suspect: Suspect) -> bool:
    """Whether a Transpose cannot be undone where it counts, so that no gain tells what it costs.

    So it is where an output is itself paired in the layout that the Transpose makes.
    """
    if suspect.turned is None:
        return False
    reached = downstream(context.layers, [suspect.turned])
    outputs = [o.layer for o in context.outputs if o.layer in reached and o.layer is not None]
    turned = any(context.pairing.pairs[at].raw_form.perm is not None for at in outputs)
    return turned or _straight(context, suspect.turned) is None


def _gain_at(context: CheckContext, group: Sequence[Suspect], *, everywhere: bool) -> Gain | None:
    """Gain of undoing what these layers compute otherwise.

    A twin that was calibrated with the bug in it has its ranges behind the layer: the gain of
    undoing both is taken against widening the ranges alone.
    """
    if group[0].ranges:
        return gain_of(context, _cure(context, group), everywhere=everywhere)
    alone = gain_of(context, _undone(context, group), everywhere=everywhere)
    if alone is None or alone.db >= WARN_GAIN_DB:
        return alone
    both = _cure(context, group)
    if not both.quantizers:
        return alone
    ranges = Change(quantizers=both.quantizers)
    together = gain_of(context, both, base=ranges, everywhere=everywhere)
    return together if together is not None and together.db > alone.db else alone


def _fitted_behind(context: CheckContext, group: Sequence[Suspect]) -> dict[int, Quantizer]:
    """Quantizers of some layers and behind them that cut float values off, wide enough not to.

    So are those of layers that are one number in the twin, which no calibration gives a range.
    Those alone that were calibrated with what the layers compute: they fit the twin's own values,
    or are themselves what the layers compute otherwise.
    """
    found = {}
    held = {at for s in group for at in s.ranges}
    behind = downstream(context.layers, [s.at for s in group])
    for at in held | (behind - context.once(unfit_for_own_values)):
        moments, limits = context.layer(at).moments, context.layer(at).range
        quantizer = context.pairing.pairs[at].quantizer
        if moments is None or limits is None or quantizer is None:
            continue
        low, high = float(moments.min_f.min()), float(moments.max_f.max())
        if at in context.once(without_own_values):
            found[at] = fitted(quantizer, min(low, 0.0), max(high, 0.0))
        elif limits.is_left_by(low, high):
            found[at] = fitted(quantizer, min(low, limits.low), max(high, limits.high))
    return found


def fitted(quantizer: Quantizer, low: float, high: float) -> Quantizer:
    """A per-tensor integer quantizer with the range ``low..high``; a symmetric one stays so."""
    codes = quantizer.high - quantizer.low
    if quantizer.low < 0 and not quantizer.zero_point.any():
        scale, zero = max(-low / -quantizer.low, high / quantizer.high), 0
    else:
        scale = (high - low) / codes
        zero = round(quantizer.low - low / scale)
    return replace(
        quantizer,
        scale=np.asarray(scale, np.float32),
        zero_point=np.asarray(zero, np.int64),
    )


def _groups(context: CheckContext, found: Sequence[Suspect]) -> list[list[Suspect]]:
    """Layers that miss one and the same node belong together.

    So do equal float nodes for which one node of the quant graph stands; the one of its name is
    the first.
    """
    groups: dict[int, list[Suspect]] = {}
    of_twin: dict[tuple[str, str], int] = {}
    for suspect in found:
        pair = context.pairing.pairs[suspect.at]
        node = suspect.node.index
        if pair.float_tensor in suspect.node.outputs:
            node = of_twin.setdefault((pair.raw, suspect.what), node)
        group = groups.setdefault(node, [])
        leads = node != suspect.node.index and pair.paired_by in _BY_NAME
        group.insert(0 if leads else len(group), suspect)
    return list(groups.values())


def _status(context: CheckContext, group: Sequence[Suspect], gain: Gain | None) -> FindingStatus:
    if gain is None:
        known = group[0].error is not None or is_doubtful(context, DAMAGED_DB)
        return "warn" if known else "info"
    if gain.db < WORTH_DB:
        return "info"
    damaged = gain.before < FINE_DB or _harms_the_task(context, gain)
    return "fail" if gain.db >= WARN_GAIN_DB and damaged else "warn"


def _harms_the_task(context: CheckContext, gain: Gain) -> bool:
    """Whether the task is harmed, and no worse output is there that may have done it alone."""
    damaged = gain.before <= COUNTED_DB or lowest_output_db(context) > COUNTED_DB
    return damaged and context.once(task_is_harmed)


def _finding(context: CheckContext, group: Sequence[Suspect], gain: Gain | None) -> Finding:
    first = group[0]
    name = first.node.label
    return OPERATOR_MISMATCH.found(
        _status(context, group, gain),
        f"{name} ({first.node.op}) computes something else: {first.what}",
        _seen(context, first),
        f"Compare `{name}` in both graphs, then look for the converter's handling of "
        f"{first.node.op}: another version of it, or another way to export the operator, cures "
        "this; 16 bits or another calibration do not.",
        layers=dict.fromkeys(at for s in group for at in (s.at, *s.along)),
        evidence=[_evidence(context, group), *gain_evidence(context, gain)],
        gain_db=rounded(gain),
        confidence="high" if first.error is None or first.error.exact else "medium",
    )


def _seen(context: CheckContext, suspect: Suspect) -> str:
    layer, error = context.layers[suspect.at], suspect.error
    first = f"{suspect.node.label}: {suspect.what}."
    if error is None or error.sqnr_db >= SOUND_DB:
        return f"{first} So the two graphs have it for {layer.float_tensor}."
    told = (
        f"{first} Given the float run's inputs and weights, and with nothing quantized, "
        f"{layer.float_tensor} still differs: {error.sqnr_db:.1f} dB, where an equal operator "
        f"agrees to more than {SOUND_DB:.0f}."
    )
    if layer.local is not None and math.isfinite(layer.local.sqnr_db):
        told += f" Its local SQNR of {layer.local.sqnr_db:.1f} dB is not quantization."
    return told


def _evidence(context: CheckContext, group: Sequence[Suspect]) -> Evidence:
    rows: list[list[str | float | None]] = []
    for suspect in group:
        layer, limits = context.layers[suspect.at], context.layer(suspect.at).range
        step = limits.step if limits is not None else None
        rows.append(
            [
                layer.float_tensor,
                ", ".join(suspect.float_ops),
                ", ".join(suspect.quant_ops),
                _number(_explained(suspect.error, step)),
                _number(layer.local.sqnr_db if layer.local is not None else None),
                _number(suspect.error.sqnr_db if suspect.error is not None else None),
            ]
        )
    columns = [
        "tensor",
        "float operators",
        "quant operators",
        "SQNR its step predicts, dB",
        "local SQNR measured, dB",
        "with nothing quantized, dB",
    ]
    return Evidence("table", "What the layer computes", {"columns": columns, "rows": rows})


def _explained(error: OperatorError | None, step: float | None) -> float | None:
    """SQNR of rounding alone: an error spread evenly over a step has the power step^2 / 12."""
    if error is None or not step or not error.signal:
        return None
    return level_db(error.signal, step * step / 12)


def _number(value: float | None) -> float | None:
    return round(value, 1) if value is not None and math.isfinite(value) else None


OPERATOR_MISMATCH = Check(KINDS["operator-mismatch"], _operator_mismatch)
