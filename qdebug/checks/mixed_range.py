"""``mixed-range``: parts of very different range in one tensor, under one scale.

A ``Concat`` of boxes in pixels with scores in 0..1 is quantized with one step, which the largest
part decides; the small part falls under it and dies, while the cosine of the whole stays at
0.9999. The same step is kept by every operator that only moves values, down to the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.what_if import SAMPLES, Change, Gain, Part
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.codes import FEW_CODES, UNLIKE_TIMES
from qdebug.checks.facts.effect import free, gain_of, rounded, status_of
from qdebug.checks.facts.evidence import float_layers, gain_evidence, name_part
from qdebug.checks.facts.outputs import part_db, split_parts
from qdebug.checks.facts.reach import moved_from, positions_by_tensor
from qdebug.graph.operators import MIXING, WEIGHTED
from qdebug.graph.walk import walk
from qdebug.metrics.sqnr import level_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float
from qdebug.vocabulary.numbers import cosine

HARMED_PART_DB = 20.0
"""A part whose predicted SQNR is above this is not harmed: below it an output depends on the task
(``DOUBTFUL_DB``). By judgement."""
WORSENED_DB = 3.0
"""The step harms a part that it leaves so much less than arrived: half of the error's power. By
judgement."""
LONGER_CUT_DB = 3.0
"""A longer cut is proposed only if it wins so much more: half of the error's power. By judgement.
"""


@dataclass(frozen=True)
class MixedPart:
    """One input of the operator that mixes.

    Attributes:
        at: position of its pair.
        low: smallest float value.
        high: largest.
        step: of the tensor it goes into.
        predicted_db: SQNR that rounding to that step leaves of it, dB.
        arriving_db: its accumulated SQNR before.
    """

    at: int
    low: float
    high: float
    step: float
    predicted_db: float
    arriving_db: float

    @property
    def peak(self) -> float:
        """Largest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def codes(self) -> int:
        """Codes its range spans."""
        return 1 + math.floor((self.high - self.low) / self.step + 0.5)

    @property
    def harmed(self) -> bool:
        """Whether the step, and not what came before, is what harms it."""
        few = self.codes < FEW_CODES and self.predicted_db < HARMED_PART_DB
        return few and self.predicted_db < self.arriving_db - WORSENED_DB


@dataclass(frozen=True)
class Mixture:
    """An operator that puts parts of different range under one scale.

    Attributes:
        at: position of its layer.
        coarsest: position of the layer with the coarsest step, among its own and those that only
            move its values.
        step: that step.
        codes: that the data type offers.
        parts: its inputs.
        carriers: layers downstream that only move its values, itself first.
        outputs: model outputs among them.
    """

    at: int
    coarsest: int
    step: float
    codes: int
    parts: tuple[MixedPart, ...]
    carriers: tuple[int, ...]
    outputs: tuple[str, ...]


def find_mixtures(context: CheckContext) -> list[Mixture]:
    """Every mixture in the network that harms one of its parts."""
    known = context.once(positions_by_tensor)
    found = []
    for layer in context.layers:
        if layer.op in MIXING:
            mixture = _mixture(context, known, layer.index)
            if mixture is not None:
                found.append(mixture)
    return found


def _mixture(context: CheckContext, known: dict[str, int], at: int) -> Mixture | None:
    tensors = moved_from(context, context.layers[at].float_tensor)
    carriers = [known[tensor] for tensor in tensors if tensor in known]
    ranges = {c: r for c in carriers if (r := context.layer(c).range) is not None and r.step > 0}
    if not ranges:
        return None
    where, coarsest = max(ranges.items(), key=lambda item: item[1].step)
    node = context.float_graph.producer[context.layers[at].float_tensor]
    inputs = [known[tensor] for tensor in node.inputs if tensor in known]
    parts = [p for i in inputs if (p := _part(context, i, coarsest.step)) is not None]
    peak = max((p.peak for p in parts), default=0.0)
    if not any(p.harmed and p.peak * UNLIKE_TIMES <= peak for p in parts):
        return None
    outputs = tuple(name for name in context.float_graph.outputs if name in tensors)
    return Mixture(at, where, coarsest.step, coarsest.codes, tuple(parts), tuple(carriers), outputs)


def _part(context: CheckContext, at: int, step: float) -> MixedPart | None:
    moments = context.layer(at).moments
    accumulated = context.layers[at].accumulated
    if moments is None or accumulated is None:
        return None
    total = moments.total()
    count, power = float(total.n[0]), float(total.ff[0])
    if count == 0 or power == 0:
        return None
    low, high = float(total.min_f[0]), float(total.max_f[0])
    dead = max(abs(low), abs(high)) < step / 2
    noise = power / count if dead else min(step * step / 12, power / count)
    predicted = level_db(power / count, noise)
    arriving = accumulated.sqnr_db
    return MixedPart(
        at, low, high, step, predicted, -math.inf if math.isnan(arriving) else arriving
    )


def _run(context: CheckContext) -> Iterator[Finding]:
    if context.what_if is not None:
        context.what_if.run_ahead(_changes(context))
    for group in context.once(_groups):
        finding = _finding(context, group)
        if finding is not None:
            yield finding


def _changes(context: CheckContext) -> list[Change]:
    """All cuts whose gain is asked for."""
    groups = context.once(_groups)
    return [free(context, cut) for group in groups for cut in _cuts(context, group)]


def _groups(context: CheckContext) -> list[list[Mixture]]:
    """Mixtures that end up in one tensor belong together."""
    groups: list[list[Mixture]] = []
    for mixture in find_mixtures(context):
        for group in groups:
            if any(set(mixture.carriers) & set(other.carriers) for other in group):
                group.append(mixture)
                break
        else:
            groups.append([mixture])
    return groups


def _finding(context: CheckContext, group: Sequence[Mixture]) -> Finding | None:
    outputs = tuple(dict.fromkeys(name for mixture in group for name in mixture.outputs))
    parts = split_parts(context, outputs or context.float_graph.outputs)
    parts += [part for mixture in group for part in _joined_parts(context, mixture)]
    cut, gain = _best_cut(context, group, parts)
    status = status_of(context, gain)
    if gain is None or status == "info":
        return _without_gain(context, group, cut, parts)
    finding = CHECK.found(
        status,
        _title(context, group),
        _seen(context, group, gain.part),
        _advice(context, group, cut),
        layers=cut,
        evidence=_evidence(context, group, cut, gain),
        gain_db=rounded(gain),
        confidence="high",
    )
    return context.cured_by(finding, free(context, cut))


def _joined_parts(context: CheckContext, mixture: Mixture) -> list[Part]:
    """Where a ``Concat`` of channels is an output: the channels of its harmed inputs, and the rest.

    What was joined is known here, however few values a channel has.
    """
    output = next((o for o in context.outputs if o.layer == mixture.at), None)
    inputs = context.float_graph.producer[context.layers[mixture.at].float_tensor].inputs
    known = context.once(positions_by_tensor)
    sizes = [_rows(context, known.get(name)) for name in inputs]
    if output is None or 0 in sizes or sum(sizes) != _rows(context, mixture.at):
        return []
    harmed = {part.at for part in mixture.parts if part.harmed}
    of = np.repeat([known[name] in harmed for name in inputs], sizes)
    chosen = (tuple(np.flatnonzero(mask).tolist()) for mask in (of, ~of))
    return [Part(output.name, channels) for channels in chosen if channels]


def _rows(context: CheckContext, at: int | None) -> int:
    """Channels of a layer; 0 where they are not known."""
    moments = context.layer(at).moments if at is not None else None
    return len(moments) if moments is not None else 0


def _without_gain(
    context: CheckContext, group: Sequence[Mixture], cut: Sequence[int], parts: Sequence[Part]
) -> Finding | None:
    """Where no rerun shows the part at an output: by what the step leaves of it there."""
    outputs = [name for mixture in group for name in mixture.outputs]
    if not outputs:
        return None
    lost = [(part_db(context, part), part) for part in parts if part.channels is not None]
    harmed = [p for m in group if m.outputs for p in m.parts if p.harmed]
    predicted = min((p.predicted_db for p in harmed), default=math.inf)
    db, part = min(lost, key=lambda item: item[0], default=(predicted, Part(outputs[0])))
    gain = Gain(part, db, max((p.arriving_db for p in harmed), default=db))
    status = status_of(context, gain)
    if status == "info":
        return None
    return CHECK.found(
        status,
        _title(context, group),
        _seen(context, group, part),
        _advice(context, group, cut),
        layers=cut,
        evidence=_evidence(context, group, cut, None),
        gain_db=rounded(gain),
        confidence="medium",
    )


def _best_cut(
    context: CheckContext, group: Sequence[Mixture], parts: Sequence[Part]
) -> tuple[list[int], Gain | None]:
    """The layers to keep in float, and what that wins."""
    short, *longer_ones = _cuts(context, group)
    gain = gain_of(context, free(context, short), parts)
    if gain is None or not longer_ones:
        return short, gain
    (tail,) = longer_ones
    change = free(context, tail)
    longer = gain_of(context, change, parts)
    if longer is None or not _is_worth_it(context, free(context, short), change, parts):
        return short, gain
    return tail, longer


def _cuts(context: CheckContext, group: Sequence[Mixture]) -> list[list[int]]:
    """What mixes and moves; and, if that is more, everything after the last weight."""
    short = {at for mixture in group for at in mixture.carriers}
    tail = short | _tail(context, sorted(short))
    return [sorted(short)] if tail == short else [sorted(short), sorted(tail)]


def _is_worth_it(
    context: CheckContext, short: Change, longer: Change, parts: Sequence[Part]
) -> bool:
    """Whether the longer cut lifts a part that the shorter one leaves damaged."""
    what_if = context.what_if
    first = what_if.outcome(short) if what_if else None
    second = what_if.outcome(longer) if what_if else None
    if first is None or second is None:
        return False
    left = [(first.sqnr_db(p), second.sqnr_db(p)) for p in parts if p.output in first.moments]
    return any(a < HARMED_PART_DB and b > a + LONGER_CUT_DB for a, b in left)


def _tail(context: CheckContext, positions: Sequence[int]) -> set[int]:
    """Layers upstream, up to the nearest that have weights."""

    def onward(at: int) -> list[int]:
        layers = context.layers
        return [i for i in layers[at].inputs if layers[i].op not in WEIGHTED | {"Input"}]

    nearest = (at for position in positions for at in onward(position))
    return set(walk(nearest, onward))


def _title(context: CheckContext, group: Sequence[Mixture]) -> str:
    first = group[0]
    small = min((p for p in first.parts if p.harmed), key=lambda p: p.peak)
    large = max(first.parts, key=lambda p: p.peak)
    count = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return (
        f"{context.layers[first.at].name}{count}: values up to {small.peak:.3g} share one scale "
        f"with values up to {large.peak:.3g}"
    )


def _seen(context: CheckContext, group: Sequence[Mixture], part: Part) -> str:
    first = group[0]
    small = min((p for p in first.parts if p.harmed), key=lambda p: p.peak)
    names = ", ".join(dict.fromkeys(name for m in group for name in m.outputs))
    reach = f" It reaches the output {names}." if names else ""
    under = "under one step" if small.peak < small.step else f"{small.codes} codes"
    text = (
        f"{context.layers[small.at].name} ({small.low:.3g}..{small.high:.3g}) gets {under} of "
        f"{small.step:.3g} in {context.layers[first.coarsest].name}.{reach}"
    )
    output = next((o for o in context.outputs if o.name == part.output), None)
    if output is None or output.accumulated is None or part.channels is None:
        return text
    return (
        f"{text} SQNR of {name_part(part)} is {part_db(context, part):.1f} dB, while the whole "
        f"output's cosine of {cosine(output.accumulated.cosine)} and SQNR of "
        f"{output.accumulated.sqnr_db:.1f} dB mislead."
    )


def _advice(context: CheckContext, group: Sequence[Mixture], cut: Sequence[int]) -> str:
    names = [context.layers[at].name for at in cut]
    told = ", ".join(f"`{name}`" for name in names[:8])
    more = f" and {len(names) - 8} more (listed below)" if len(names) > 8 else ""
    mixing = ", ".join(f"`{context.layers[m.at].name}`" for m in group[:4])
    tensors = "its tensor" if len(names) == 1 else "their tensors"
    return (
        f"Keep {told}{more} in float, or give {tensors} 16 bits. "
        f"Or end the quantized model before {mixing} and join the parts outside."
    )


def _evidence(
    context: CheckContext, group: Sequence[Mixture], cut: Sequence[int], gain: Gain | None
) -> list[Evidence]:
    rows: list[list[str | float | int]] = [
        [
            context.layers[m.at].name,
            context.layers[p.at].name,
            float(f"{p.low:.4g}"),
            float(f"{p.high:.4g}"),
            float(f"{m.step:.4g}"),
            p.codes,
            round(100 * p.codes / m.codes, 2),
            round(p.predicted_db, 1),
        ]
        for m in group
        for p in m.parts
    ]
    columns = ["tensor", "part", "min", "max", "coarsest step", "codes"]
    table = {"columns": [*columns, "share of codes, %", "predicted SQNR, dB"], "rows": rows}
    return [
        Evidence("table", "Parts under one scale", table),
        *gain_evidence(context, gain),
        *keep_in_float(float_layers(context, cut), context.vendor),
    ]


CHECK = Check(KINDS["mixed-range"], _run, ahead=_changes, ahead_samples=SAMPLES)
