"""``dead-output``: an output is one number in the quant run and a signal in the float run."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.dead import dead_outputs, lost_signal
from qdebug.checks.facts.effect import free, gain_of, rounded
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.vendors.advice import keep_in_float


def _dead_output(context: CheckContext) -> Iterator[Finding]:
    for output in context.once(dead_outputs):
        assert output.layer is not None
        dead = lost_signal(context, output.layer)
        first = _first_dead(context, output.layer)
        layer = context.layers[first]
        where = "" if first == output.layer else f" It dies at {layer.name} ({layer.op})."
        why, advice = _why_dead(context, first)
        cure = free(context, [first])
        gain = gain_of(context, cure)
        finding = DEAD_OUTPUT.found(
            "fail",
            f"Output {output.name} is {dead} in the quant run only",
            f"The float run reaches {context.layer(output.layer).peak:.3g} there, the quant run is "
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
        yield context.cured_by(finding, cure)


def _why_dead(context: CheckContext, at: int) -> tuple[str, str]:
    """What kills a layer, and what to do, as far as its own quantizer tells."""
    layer = context.layer(at)
    name, limits, moments = layer.name, layer.range, layer.moments
    if limits is None or moments is None or layer.peak >= limits.step / 2:
        return "", f"Look at the scale and range of `{name}` and of what it reads"
    low, high = min(float(moments.min_f.min()), 0.0), max(float(moments.max_f.max()), 0.0)
    times = (limits.high - limits.low) / max(high - low, 1e-30)
    why = (
        f" All its values are below half a step of its quantizer, {limits.step:.3g}: the scale is "
        f"about {times:.2g} times what they need."
    )
    return why, f"Calibrate `{name}` again, or set its range to {low:.4g}..{high:.4g}"


def _first_dead(context: CheckContext, at: int) -> int:
    """The earliest layer upstream from which on all is dead."""
    dead = [i for i in context.layers[at].inputs if lost_signal(context, i) is not None]
    return _first_dead(context, dead[0]) if dead else at


DEAD_OUTPUT = Check(KINDS["dead-output"], _dead_output)
