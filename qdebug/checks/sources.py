"""``error-source`` and ``dead-output``: where the error enters, and where a signal ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.what_if import SAMPLES, Change, Gain
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import (
    float_layers,
    free,
    gain_evidence,
    gain_of,
    gains_of,
    is_doubtful,
    rounded,
    status_of,
)
from qdebug.checks.mixed_range import MOVING
from qdebug.checks.settle import downstream
from qdebug.graph.model import Graph
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus, Layer, OutputResult
from qdebug.vendors.advice import keep_in_float

TRIED = 6
"""Layers whose gain is computed."""
KEPT = 3
"""Sources that are reported."""
SHOWN = 5
"""Victims that are listed under a source."""
WORTH_DB = 1.0
"""A source that wins less is not worth naming."""
_REMEDY = {
    "activation": "Give activations 16 bits (`activation_type=QuantType.QUInt16` in ONNX Runtime)",
    "weight": "Quantize weights per channel (`per_channel=True` in ONNX Runtime)",
}
"""What to do where most of the error comes from one kind of quantization."""
_UNIT = ("Sigmoid", "HardSigmoid", "Softmax", "Tanh")
"""Operators whose values never exceed one."""
HALF_DB = 3.0
"""A gain that takes away half of the error's power."""
LOST_DB = 3.0
"""A loss against the inputs that stands out."""


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
    return min(*known, 60.0) - _finite(layer.accumulated.sqnr_db)


def _finite(value: float | None) -> float:
    """A number that can be sorted: NaN is the worst of all."""
    if value is None or math.isnan(value):
        return -100.0
    return max(-100.0, min(200.0, value))


def find_sources(context: CheckContext) -> list[Source]:
    """The layers whose quantization costs the outputs most."""
    what_if = context.what_if
    usable = [at for at in candidates(context) if what_if is not None and what_if.can_free(at)]
    tried = _gains(context, usable[:TRIED], 1)
    promising = [at for at, gain in tried.items() if gain is not None and gain.db >= WORTH_DB]
    best = sorted(promising, key=lambda at: -getattr(tried[at], "db", 0.0))[:KEPT]
    found = []
    for at, gain in _gains(context, best, SAMPLES).items():
        if gain is not None and gain.db >= WORTH_DB:
            reached = downstream(context.layers, [at]) - {at}
            victims = tuple(i for i in sorted(reached) if context.layers[i].role == "victim")
            found.append(Source(at, gain, victims))
    return sorted(found, key=lambda source: -source.gain.db)


def _gains(context: CheckContext, layers: Sequence[int], samples: int) -> dict[int, Gain | None]:
    """Gain of keeping each of some layers in float, one at a time."""
    changes = [free(context, [at], weights=True) for at in layers]
    return dict(zip(layers, gains_of(context, changes, samples), strict=True))


def _error_source(context: CheckContext) -> Iterator[Finding]:
    if not is_doubtful(context):
        return
    sources = find_sources(context)
    if not sources:
        yield _spread(context)
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
    gains = {kind: gain_of(context, change) for kind, change in changes.items()}
    return {kind: gain for kind, gain in gains.items() if gain is not None}


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


def dead_outputs(context: CheckContext) -> list[OutputResult]:
    """Outputs that are one number in the quant run and carry a signal in the float run."""
    return [o for o in context.outputs if o.layer is not None and _is_dead(context, o.layer)]


def _dead_output(context: CheckContext) -> Iterator[Finding]:
    for output in context.once(dead_outputs):
        assert output.layer is not None
        dead = _lost_signal(context, output.layer)
        first = _first_dead(context, output.layer)
        layer = context.layers[first]
        where = "" if first == output.layer else f" It dies at {layer.name} ({layer.op})."
        why, advice = _why_dead(context, first)
        gain = gain_of(context, free(context, [first]))
        yield DEAD_OUTPUT.found(
            "fail",
            f"Output {output.name} is {dead} in the quant run only",
            f"The float run reaches {_peak(context, output.layer):.3g} there, the quant run is "
            f"{dead} on every sample.{where}{why}",
            f"{advice}; keep it in float to see the signal return.",
            layers=sorted({first, output.layer}),
            evidence=[
                *gain_evidence(context, gain),
                *keep_in_float(float_layers(context, [first]), context.vendor),
            ],
            gain_db=rounded(gain),
            confidence="high",
        )


def _why_dead(context: CheckContext, at: int) -> tuple[str, str]:
    """What kills a layer, and what to do, as far as its own quantizer tells."""
    name, stats = context.layers[at].name, context.stats[at]
    limits, moments = stats.range, stats.accumulated
    if limits is None or moments is None or _peak(context, at) >= limits.step / 2:
        return "", f"Look at the scale and range of `{name}` and of what it reads"
    low, high = min(float(moments.min_f.min()), 0.0), max(float(moments.max_f.max()), 0.0)
    times = (limits.high - limits.low) / max(high - low, 1e-30)
    why = (
        f" All its values are below half a step of its quantizer, {limits.step:.3g}: the scale is "
        f"about {times:.2g} times what they need."
    )
    return why, f"Calibrate `{name}` again, or set its range to {low:.4g}..{high:.4g}"


def _is_dead(context: CheckContext, at: int) -> bool:
    """Whether a signal is lost; where there may be none, as on a picture with nothing on it, not.

    Values below half a step are a signal all the same where no input whatever would raise them
    above, or where nothing bounds them and the float model decides by them.
    """
    state = context.layers[at].state
    if state in ("zero_both", "identical"):
        return False
    if state == "low_signal" and not _should_speak(context, at):
        return False
    return _lost_signal(context, at) is not None


def _should_speak(context: CheckContext, at: int) -> bool:
    limits = context.stats[at].range
    bound = _bound(context.float_graph, context.layers[at].float_tensor)
    if bound is not None:
        return limits is not None and bound < limits.step / 2
    compared = [o.state for o in context.outputs if o.layer is not None]
    silent = all(state in ("low_signal", "zero_both") for state in compared)
    return silent and context.task is not None and context.task.decisions > 0


def _bound(graph: Graph, tensor: str) -> float | None:
    """Largest magnitude that a tensor can have, None where its operator sets no bound."""
    node = graph.producer.get(tensor)
    if node is None:
        return None
    if node.op in _UNIT:
        return 1.0
    if node.op not in MOVING or node.op == "Pad":
        return None
    moved = node.inputs if node.op == "Concat" else node.inputs[:1]
    bounds = [_bound(graph, name) for name in moved]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known and len(known) == len(bounds) else None


def _lost_signal(context: CheckContext, at: int) -> str | None:
    """What became of a layer that varies in the float run and is one number in the quant run."""
    moments = context.stats[at].accumulated
    if moments is None:
        return None
    total = moments.total()
    constant = total.min_q[0] == total.max_q[0] and total.n[0] > 1
    alive = total.max_f[0] - total.min_f[0] > 0
    if not (constant and alive):
        return None
    return "zero" if total.max_q[0] == 0 else "constant"


def _peak(context: CheckContext, at: int) -> float:
    moments = context.stats[at].accumulated
    return (
        0.0 if moments is None else float(max(abs(moments.min_f.min()), abs(moments.max_f.max())))
    )


def _first_dead(context: CheckContext, at: int) -> int:
    """The earliest layer upstream from which on all is dead."""
    dead = [i for i in context.layers[at].inputs if _lost_signal(context, i) is not None]
    return _first_dead(context, dead[0]) if dead else at


DEAD_OUTPUT = Check(KINDS["dead-output"], _dead_output)
ERROR_SOURCE = Check(KINDS["error-source"], _error_source)
