"""``activation-clipping`` and ``range-too-wide``: the range of a tensor does not fit its values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from qdebug.analysis.calibration import (
    Distribution,
    Threshold,
    predicted_error,
    predicted_sqnr,
    quantizer_for,
    thresholds,
)
from qdebug.analysis.what_if import Change, Gain
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.capture.stats import Range
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import (
    DAMAGED_DB,
    FINE_DB,
    free,
    gain_of,
    gains_of,
    is_bad,
    is_doubtful,
    rounded,
    slip_status,
    status_of,
)
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.checks.facts.masks import mask_layers, masked_layers
from qdebug.checks.facts.norms import norm_layers
from qdebug.checks.facts.outputs import lowest_output_db
from qdebug.checks.facts.qdq import mismatched
from qdebug.checks.facts.task import task_holds
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus
from qdebug.vendors.advice import BetterRange, calibrate_again
from qdebug.vocabulary.numbers import percent

UNFIT_DB = 3.0
"""A range is unfit if another would serve the tensor so much better: half of the error's power. By
judgement."""
REMARKABLE_DB = 12.0
"""Two bits: a range that wastes so much is mentioned though no output suffers, and is a warning
where that costs something at an output, however much it has left. By judgement:
at half of it the sample `transformer-mask` gets a remark more, at twice of it the row `16 another
training run` of `benchmarks.faults` one less."""
GOOD_DB = 40.0
"""A tensor whose range predicts more than this is fine, whatever another would give: full use of 8
bits gives about as much (6.02 dB a bit less the headroom of a normal distribution's peak). By
judgement: at 20 dB the sample `classifier-one-photo` does not fail."""
CHANGED = 12
"""Layers that are listed, and whose range is changed in the computed gain: what can be read."""
RANKED = 3
"""Layers whose own gain is computed, to name the first: it bounds what the check costs."""
VALUES = 200_000
"""Values of a tensor and sample that its distribution is taken from: it bounds the cost."""


@dataclass(frozen=True)
class Unfit:
    """A tensor whose range does not fit.

    Attributes:
        at: position of its pair.
        range: as it is.
        now_db: SQNR predicted for it, dB.
        best: the better range.
        clips: whether clipping, not rounding, makes the most of the error.
        clipped: share of the values beyond the range.
    """

    at: int
    range: Range
    now_db: float
    best: Threshold
    clips: bool
    clipped: float

    @property
    def wins_db(self) -> float:
        """What the better range wins for the tensor alone."""
        return self.best.sqnr_db - self.now_db


def find_unfit(context: CheckContext) -> list[Unfit]:
    """Tensors that another range would serve better, the worst first."""
    found = []
    others = context.once(mismatched) | context.once(masked_layers)
    for at in sorted(set(range(len(context.layers))) - others):
        unfit = _unfit(context, at)
        if unfit is not None:
            found.append(unfit)
    return sorted(found, key=lambda item: -item.wins_db)


def _unfit(context: CheckContext, at: int) -> Unfit | None:
    layer = context.layer(at)
    stats, limits, moments = layer.stats, layer.range, layer.moments
    if limits is None or moments is None or stats.histogram.width <= 0 or limits.codes < 2:
        return None
    total = moments.total()
    low, high = float(total.min_f[0]), float(total.max_f[0])
    if not (math.isfinite(low) and math.isfinite(high) and limits.step > 0):
        return None
    values = Distribution.of_histogram(stats.histogram, low, high)
    now = predicted_sqnr(values, limits.low, limits.high, limits.codes)
    if now > GOOD_DB:
        return None
    choices = thresholds(values, limits.codes, symmetric=limits.is_symmetric)
    if not choices:
        return None
    best = max(choices, key=lambda choice: choice.sqnr_db)
    if best.sqnr_db < now + UNFIT_DB:
        return None
    clipping, rounding = predicted_error(values, limits.low, limits.high, limits.codes)
    share = stats.clipped / max(float(total.n[0]), 1.0)
    return Unfit(at, limits, now, best, clipping > rounding, share)


def _clipping(context: CheckContext) -> Iterator[Finding]:
    unfit = [item for item in context.once(find_unfit) if item.clips]
    excused = context.once(task_holds) and lowest_output_db(context) >= DAMAGED_DB
    often = [item for item in unfit if not (excused and is_seldom_left(context, item))]
    yield from _report(context, CLIPPING, often or unfit, remark=not often)


def is_seldom_left(context: CheckContext, item: Unfit) -> bool:
    """Whether no more samples leave a range than may leave that of a sound calibration.

    Of ``n`` pictures that were calibrated on and one more, drawn alike, each is as likely to reach
    farthest: the new one leaves the range that the others span with probability ``1 / (n + 1)`` on
    a side, which is at most a half. Where more do, it was not calibrated on such pictures.
    """
    return 2 * _leaving(context, item) <= len(context.layer(item.at).stats.per_sample)


def _leaving(context: CheckContext, item: Unfit) -> int:
    """How many samples leave the range at the end that more of them leave."""
    known, limits = context.layer(item.at).stats.per_sample, item.range
    above = sum(limits.is_left_by(limits.low, float(m.max_f[0])) for m in known)
    below = sum(limits.is_left_by(float(m.min_f[0]), limits.high) for m in known)
    return max(above, below)


def _too_wide(context: CheckContext) -> Iterator[Finding]:
    unfit = [item for item in context.once(find_unfit) if not item.clips]
    yield from _report(context, TOO_WIDE, unfit)


def _report(
    context: CheckContext, check: Check, unfit: Sequence[Unfit], *, remark: bool = False
) -> Iterator[Finding]:
    """The finding of ranges of one kind; whatever they cost, no more than a remark if so said."""
    tried = unfit[:CHANGED]
    gain = None
    if tried and not remark and is_doubtful(context, FINE_DB):
        better = _better(context, tried)
        gain = gain_of(context, better, matters=partial(is_bad, context))
    status = "info" if remark else _status(context, tried, gain)
    if status == "info":
        # what no calibration throws away is a slip, also where the output has enough left
        tried = [item for item in tried if item.wins_db >= REMARKABLE_DB]
        gain = gain_of(context, _better(context, tried)) if tried else None
        status = "info" if remark else slip_status(context, gain)
    if not tried:
        return
    worst = tried if status == "info" else _by_effect(context, tried)
    wording = _clipped_words if check is CLIPPING else _wide_words
    title, seen, advice = wording(context, worst)
    finding = check.found(
        status,
        title,
        seen,
        advice,
        layers=[item.at for item in worst],
        evidence=_evidence(context, worst, gain),
        gain_db=rounded(gain),
        confidence="high",
    )
    yield context.cured_by(finding, _better(context, tried))


def _status(context: CheckContext, tried: Sequence[Unfit], gain: Gain | None) -> FindingStatus:
    """How bad the ranges are, by what better ones win, also where norms and masks do no harm.

    Behind a norm that gives nonsense any narrower range wins, since it cuts the nonsense off.
    """
    status, others = status_of(context, gain), context.once(_layers_of_others)
    if status == "info" or not others:
        return status
    base = free(context, others)
    better = replace(_better(context, [x for x in tried if x.at not in others]), free=base.free)
    beside = status_of(context, gain_of(context, better, base=base))
    return max(status, beside, key=("fail", "warn", "info").index)


def _layers_of_others(context: CheckContext) -> set[int]:
    """Layers of operators in pieces and of masks, whose values fit no range."""
    return {*context.once(norm_layers), *context.once(mask_layers)}


def _by_effect(context: CheckContext, unfit: Sequence[Unfit]) -> list[Unfit]:
    """The layers by what the better range of each alone wins at the output."""
    if len(unfit) == 1:
        return list(unfit)
    ranked = [_better(context, [item]) for item in unfit[:RANKED]]
    gains = {x.at: gain for x, gain in zip(unfit, gains_of(context, ranked), strict=False)}
    known = {at: gain.db for at, gain in gains.items() if gain is not None}
    return sorted(unfit, key=lambda item: -known.get(item.at, -1.0))


def _better(context: CheckContext, unfit: Sequence[Unfit]) -> Change:
    """The change that gives every tensor the better range."""
    quantizers = {}
    for item in unfit:
        own = context.layer(item.at).pair.quantizer
        if own is not None and context.what_if is not None and context.what_if.can_free(item.at):
            quantizers[item.at] = quantizer_for(item.best.low, item.best.high, own)
    return Change(quantizers=quantizers)


def _clipped_words(context: CheckContext, unfit: Sequence[Unfit]) -> tuple[str, str, str]:
    item = unfit[0]
    total = context.layer(item.at).moments
    assert total is not None
    low, high = float(total.min_f.min()), float(total.max_f.max())
    more = f"; {len(unfit) - 1} more layers likewise" if len(unfit) > 1 else ""
    name = context.layers[item.at].name
    title = f"{name}: values reach {low:.3g}..{high:.3g}, the range ends at {_span(item)}"
    seen = (
        f"{percent(item.clipped)} of the values of {name} lie outside {_span(item)} and are cut "
        f"off; that is most of its error{more}.{_seldom(context, item)}"
    )
    advice = (
        f"Calibrate again, on more and more varied images (those given here reach "
        f"{low:.3g}..{high:.3g}), or set the range of `{name}` to {item.best.low:.4g}.."
        f"{item.best.high:.4g}."
    )
    return title, seen, advice


def _seldom(context: CheckContext, item: Unfit) -> str:
    """How many samples leave the range, where a sound calibration leaves out as many."""
    if not is_seldom_left(context, item):
        return ""
    count, beyond = len(context.layer(item.at).stats.per_sample), _leaving(context, item)
    reach = "reaches" if beyond == 1 else "reach"
    return f" No more than {beyond} of {count} samples {reach} beyond it."


def _wide_words(context: CheckContext, unfit: Sequence[Unfit]) -> tuple[str, str, str]:
    item = unfit[0]
    layer = context.layers[item.at]
    used = f"{layer.codes_used} of {layer.codes_total} codes"
    more = f"; {len(unfit) - 1} more layers likewise" if len(unfit) > 1 else ""
    title = f"{layer.name}: {used} used, the range {_span(item)} is wider than its values"
    seen = (
        f"Rounding to a step of {item.range.step:.3g} leaves {item.now_db:.1f} dB of {layer.name}; "
        f"{item.best.low:.3g}..{item.best.high:.3g} would leave {item.best.sqnr_db:.1f} dB{more}."
    )
    advice = (
        f"Calibrate by {item.best.method}, without the images or values that stretch the range, or "
        f"set the range of `{layer.name}` to {item.best.low:.4g}..{item.best.high:.4g}."
    )
    return title, seen, advice


def _span(item: Unfit) -> str:
    return f"{item.range.low:.3g}..{item.range.high:.3g}"


def _evidence(context: CheckContext, unfit: Sequence[Unfit], gain: Gain | None) -> list[Evidence]:
    rows = []
    for item in unfit:
        row = [context.layers[item.at].name, _span(item), round(item.now_db, 1)]
        rows.append([*row, f"{item.best.low:.4g}..{item.best.high:.4g}", item.best.method])
    columns = ["tensor", "range now", "predicted SQNR now, dB", "better range", "by"]
    first = unfit[0]
    return [
        *gain_evidence(context, gain),
        Evidence("table", "Ranges that do not fit", {"columns": columns, "rows": rows}),
        _histogram(context, first),
        *_settings(context, first),
        *(method_table(context, first.at, first.range) if gain is not None else []),
    ]


def _settings(context: CheckContext, item: Unfit) -> list[Evidence]:
    (layer,) = float_layers(context, [item.at])
    better = BetterRange(layer, item.best.low, item.best.high, item.clips)
    return calibrate_again(better, context.vendor)


def _histogram(context: CheckContext, item: Unfit) -> Evidence:
    histogram = context.layer(item.at).stats.histogram
    edges = np.linspace(*histogram.range, len(histogram.float) + 1)
    data = {
        "edges": [float(f"{edge:.6g}") for edge in edges],
        "series": {"float": histogram.float.tolist(), "quant": histogram.quant.tolist()},
        "marks": {"range min": item.range.low, "range max": item.range.high},
    }
    return Evidence("histogram", f"Values of {context.layers[item.at].name}", data)


def method_table(context: CheckContext, at: int, limits: Range) -> list[Evidence]:
    """What each calibration method would give for one tensor, from its values."""
    if context.what_if is None:
        return []
    tensor = context.layer(at).pair.float_tensor
    fetcher = Fetcher(context.float_graph, SessionSettings())
    parts = []
    for feeds, _ in context.what_if.feeds:
        value = fetcher.values([tensor], feeds)[tensor].reshape(-1)
        parts.append(value[:: max(1, len(value) // VALUES)])
    values = Distribution.of(parts)
    if values is None:
        return []
    now = predicted_sqnr(values, limits.low, limits.high, limits.codes)
    choices = [Threshold("as it is", limits.low, limits.high, now)]
    choices += thresholds(values, limits.codes, symmetric=limits.is_symmetric)
    rows = [
        [choice.method, float(f"{choice.low:.5g}"), float(f"{choice.high:.5g}"), _db(choice)]
        for choice in choices
    ]
    columns = ["calibration", "min", "max", "predicted SQNR, dB"]
    title = f"What other thresholds would give {context.layers[at].name}"
    return [Evidence("table", title, {"columns": columns, "rows": rows})]


def _db(choice: Threshold) -> float | str:
    return round(choice.sqnr_db, 1) if math.isfinite(choice.sqnr_db) else str(choice.sqnr_db)


CLIPPING = Check(KINDS["activation-clipping"], _clipping)
TOO_WIDE = Check(KINDS["range-too-wide"], _too_wide)
