"""``error-source``: where the error enters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.what_if import SAMPLES, Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import (
    DOUBTFUL_DB,
    free,
    gain_of,
    gains_of,
    is_doubtful,
    rounded,
    status_of,
)
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.checks.facts.operators import suspects, unexplained
from qdebug.checks.facts.reach import downstream
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus, Layer
from qdebug.vendors.advice import keep_in_float

TRIED_SOURCES = 6
"""Layers whose gain is computed: it bounds what the check costs."""
SPREAD_SAMPLES = 2
"""Samples that a remark's two numbers are computed on, what all activations and what all weights
cost: each takes a run of the whole network a sample. By judgement: rounding all over a network
costs one picture much what it costs another, and the remark rests on which of the two is larger."""
KEPT = 3
"""Sources that are reported: what can be read."""
SHOWN = 5
"""Victims that are listed under a source: what can be read."""
WORTH_DB = 1.0
"""A source that wins less is not worth naming. By judgement."""
_REMEDY = {
    "activation": "Give activations 16 bits (`activation_type=QuantType.QUInt16` in ONNX Runtime)",
    "weight": "Quantize weights per channel (`per_channel=True` in ONNX Runtime)",
}
"""What to do where most of the error comes from one kind of quantization."""
HALF_DB = 3.0
"""A gain that takes away half of the error's power."""
LOST_DB = 3.0
"""A loss against the inputs that stands out: half of the error's power. By judgement."""
_SOUND_DB = 60.0
"""What arrives with more has no error to speak of: losses are counted from here. By judgement."""


@dataclass(frozen=True)
class Source:
    """A layer where error enters.

    Attributes:
        at: its index.
        gain: of keeping it in float.
        victims: layers downstream that only pass the error on.
    """

    at: int
    gain: Gain
    victims: tuple[int, ...]


def candidates(context: CheckContext) -> list[int]:
    """Layers where error may enter, the likeliest first.

    By sensitivity where it was measured; else what has a bad local error, together with the layers
    it reads (an input's quantizer shows only in the layer that reads it); where local error is not
    known, what loses most against its inputs.
    """
    measured = {x.index: x.sensitivity for x in context.layers if x.sensitivity is not None}
    if measured:
        return sorted(measured, key=lambda at: _finite(measured[at].sqnr_db))
    sources = [x for x in context.layers if x.role == "source" and x.local is not None]
    found: list[int] = []
    for layer in sorted(sources, key=_local_db):
        found += [layer.index, *layer.inputs]
    losses = sorted(context.layers, key=lambda x: -_loss(context, x.index))
    found += [x.index for x in losses if _loss(context, x.index) > LOST_DB]
    return list(dict.fromkeys(found))


def _local_db(layer: Layer) -> float:
    return _finite(layer.local.sqnr_db if layer.local is not None else None)


def _loss(context: CheckContext, at: int) -> float:
    """Accumulated SQNR lost between a layer's worst input and itself, dB."""
    layer = context.layers[at]
    inputs = [context.layers[i].accumulated for i in layer.inputs]
    known = [_finite(m.sqnr_db) for m in inputs if m is not None]
    if layer.accumulated is None or not known:
        return 0.0
    return min(*known, _SOUND_DB) - _finite(layer.accumulated.sqnr_db)


def _finite(value: float | None) -> float:
    """A number that can be sorted: NaN is the worst of all."""
    if value is None or math.isnan(value):
        return -100.0
    return max(-100.0, min(200.0, value))


def find_sources(context: CheckContext) -> list[Source]:
    """The layers whose quantization costs the outputs most."""
    tried = _gains(context, context.once(_tried), 1)
    promising = [at for at, gain in tried.items() if gain is not None and _is_worth_it(gain)]
    best = sorted(promising, key=lambda at: -getattr(tried[at], "db", 0.0))[:KEPT]
    found = []
    for at, gain in _gains(context, best, SAMPLES, _is_worth_it).items():
        if gain is not None and _is_worth_it(gain):
            reached = downstream(context.layers, [at]) - {at}
            victims = tuple(i for i in sorted(reached) if context.layers[i].role == "victim")
            found.append(Source(at, gain, victims))
    return sorted(found, key=lambda source: -source.gain.db)


def _tried(context: CheckContext) -> list[int]:
    """The layers whose gain is computed on one sample."""
    what_if = context.what_if
    usable = [at for at in candidates(context) if what_if is not None and what_if.can_free(at)]
    return usable[:TRIED_SOURCES]


def _ahead(context: CheckContext) -> list[Change]:
    return _alone(context, context.once(_tried)) if is_doubtful(context) else []


def _alone(context: CheckContext, layers: Sequence[int]) -> list[Change]:
    """Each of some layers in float, one at a time."""
    return [free(context, [at], weights=True) for at in layers]


def _is_worth_it(gain: Gain) -> bool:
    return gain.db >= WORTH_DB


def _gains(
    context: CheckContext,
    layers: Sequence[int],
    samples: int,
    matters: Callable[[Gain], bool] | None = None,
) -> dict[int, Gain | None]:
    """Gain of keeping each of some layers in float."""
    gains = gains_of(context, _alone(context, layers), samples, matters)
    return dict(zip(layers, gains, strict=True))


def _error_source(context: CheckContext) -> Iterator[Finding]:
    if not is_doubtful(context):
        return
    sources = find_sources(context)
    if not sources:
        if not context.once(suspects):
            at = _standing_out(context)
            yield _spread(context) if at is None else _unexplained(context, at)
        return
    first = sources[0]
    together = gain_of(context, free(context, [s.at for s in sources], weights=True))
    if together is None or together.db <= first.gain.db:
        sources, together = sources[:1], first.gain
    layers = [source.at for source in sources]
    status: FindingStatus = "warn" if status_of(context, together) in ("fail", "warn") else "info"
    yield ERROR_SOURCE.found(
        status,
        *describe_sources([context.layers[at].name for at in layers], sources, together),
        layers=layers,
        evidence=[
            _source_table(context, sources),
            *gain_evidence(context, together),
            *keep_in_float(float_layers(context, layers), context.vendor),
        ],
        gain_db=rounded(together),
        confidence="high",
    )


def describe_sources(
    names: Sequence[str], sources: Sequence[Source], gain: Gain
) -> tuple[str, str, str]:
    """Title, what was seen and what to do.

    Args:
        names: of the layers.
        sources: the layers, the worst first.
        gain: of keeping all of them in float.
    """
    victims = sources[0].victims
    one = len(names) == 1
    where = names[0] if one else f"{len(names)} layers, first of all at {names[0]}"
    most = gain.db >= HALF_DB
    seen = f"Without the quantization of {names[0]} the output gains {sources[0].gain.db:.1f} dB"
    if victims:
        layers = "1 layer" if len(victims) == 1 else f"{len(victims)} layers"
        seen += (
            f"; {layers} after it with a large accumulated error and a small local one pass it on"
        )
    advice = (
        f"Keep {', '.join(f'`{name}`' for name in names)} in float or give "
        f"{'it' if one else 'them'} 16 bits{'' if most else ', which alone will not do'}."
    )
    return (
        f"{'The' if most else 'Less than half of the'} error enters at {where}",
        f"{seen}.",
        f"{advice} Leave the victims as they are." if victims else advice,
    )


def _standing_out(context: CheckContext) -> int | None:
    """The first bad layer, where all it reads is good and its quantization does not explain it."""
    for at in context.once(unexplained):
        layer = context.layers[at]
        inputs = [context.layers[i].accumulated for i in layer.inputs]
        good = all(m is not None and m.sqnr_db >= DOUBTFUL_DB for m in inputs)
        if good and layer.accumulated is not None and layer.accumulated.sqnr_db < DOUBTFUL_DB:
            return at
    return None


def _unexplained(context: CheckContext, at: int) -> Finding:
    """A layer that stands out although taking its quantization away wins nothing."""
    layer = context.layers[at]
    return ERROR_SOURCE.found(
        "info",
        f"The error enters at {layer.name}: its operator or a constant of it differs",
        "All that it reads is good, and most of its local error is left with everything but a "
        "constant of it in float. That constant stands for none of the float layer's.",
        f"Compare `{layer.name}` and its constants in both graphs.",
        layers=[at],
        confidence="medium",
    )


def _spread(context: CheckContext) -> Finding:
    known = [x.local.sqnr_db for x in context.layers if x.local is not None]
    finite = [value for value in known if math.isfinite(value)]
    middle = f" The median local SQNR is {float(np.median(finite)):.1f} dB." if finite else ""
    gains = _gains_of_kinds(context)
    told = [f"{gain.db:.1f} dB without any quantized {kind}" for kind, gain in gains.items()]
    best = max(gains, key=lambda kind: gains[kind].db, default=None)
    won = f" All together: {' and '.join(told)}." if told else ""
    return ERROR_SOURCE.found(
        "info",
        "The error is spread over the whole network",
        f"No single layer's quantization, taken away, wins {WORTH_DB} dB at the output.{won}"
        f"{middle}",
        f"{_REMEDY.get(best or '', 'Use more bits')}, or train quantization-aware; a few layers in "
        "float will not do.",
        evidence=gain_evidence(context, gains[best]) if best else (),
        gain_db=rounded(gains[best]) if best else None,
        confidence="medium",
    )


def _gains_of_kinds(context: CheckContext) -> dict[str, Gain]:
    """Gain of taking away the quantization of all activations, or of all weights."""
    nodes = frozenset(pair.node for pair in context.pairing.weights)
    changes = {
        "activation": free(context, range(len(context.layers))),
        "weight": Change(weights=nodes),
    }
    gains = zip(changes, gains_of(context, list(changes.values()), SPREAD_SAMPLES), strict=True)
    return {kind: gain for kind, gain in gains if gain is not None}


def _source_table(context: CheckContext, sources: Sequence[Source]) -> Evidence:
    rows: list[list[str | float | None]] = []
    for source in sources:
        rows.append(_row(context, source.at, "source", round(source.gain.db, 2)))
        rows += [_row(context, at, "victim", None) for at in source.victims[:SHOWN]]
        if len(source.victims) > SHOWN:
            rows.append([f"and {len(source.victims) - SHOWN} more", "victims", None, None, None])
    columns = ["layer", "role", "local SQNR, dB", "accumulated SQNR, dB", "gain in float, dB"]
    return Evidence("table", "Sources, and the victims of each", {"columns": columns, "rows": rows})


def _row(context: CheckContext, at: int, role: str, gain: float | None) -> list[str | float | None]:
    layer = context.layers[at]
    local = layer.local.sqnr_db if layer.local is not None else None
    accumulated = layer.accumulated.sqnr_db if layer.accumulated is not None else None
    return [layer.name, role, _number(local), _number(accumulated), gain]


def _number(value: float | None) -> float | None:
    return round(value, 1) if value is not None and math.isfinite(value) else None


ERROR_SOURCE = Check(KINDS["error-source"], _error_source, ahead=_ahead)
