"""Facts as findings tell them: gains, layers, channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qdebug.analysis.what_if import Gain, Part
from qdebug.checks.context import CheckContext
from qdebug.run.model import Evidence
from qdebug.vendors.advice import FloatLayer


def gain_evidence(context: CheckContext, gain: Gain | None) -> list[Evidence]:
    """Where a gain was computed, and from what."""
    if gain is None or context.what_if is None:
        return []
    return [
        Evidence(
            "key_values",
            "Computed by running the quant model with this change",
            {
                "items": [
                    ["output", name_part(gain.part)],
                    ["SQNR now, dB", round(gain.before, 2)],
                    ["SQNR with the change, dB", round(gain.after, 2)],
                    ["samples", gain.samples or len(context.what_if.samples)],
                    *_spread(gain),
                ]
            },
        )
    ]


def _spread(gain: Gain) -> list[list[str | float]]:
    """How far the gain of a few samples can be trusted."""
    if gain.spread is not None:
        return [["standard deviation of the gain between samples, dB", round(gain.spread, 2)]]
    if gain.samples == 1:
        return [["spread between samples", "not known: another picture may show no gain"]]
    return []


def float_layers(context: CheckContext, positions: Iterable[int]) -> list[FloatLayer]:
    """Layers as the advice for toolchains names them."""
    chosen = [context.layers[at] for at in sorted(set(positions))]
    return [FloatLayer(x.name, x.op, x.float_tensor) for x in chosen]


def name_part(part: Part) -> str:
    """An output, with the channels meant."""
    if part.channels is None:
        return part.output
    return f"{part.output}, channels {name_channels(part.channels)}"


def name_channels(channels: Sequence[int], most: int = 6) -> str:
    """Channel numbers with runs drawn together: ``0-3, 7``."""
    runs: list[list[int]] = []
    for channel in channels:
        if runs and channel == runs[-1][1] + 1:
            runs[-1][1] = channel
        else:
            runs.append([channel, channel])
    told = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:most]]
    return ", ".join([*told, "..."] if len(runs) > most else told)
