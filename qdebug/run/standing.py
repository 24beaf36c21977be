"""How an output stands beside its limits: in one phrase, before any metric."""

from __future__ import annotations

import numpy as np

from qdebug.run.model import Layer, OutputResult, Run, WorstChannel
from qdebug.vocabulary.numbers import decibel
from qdebug.vocabulary.states import BROKEN, STATE_WORDS

DEFAULT_LIMIT_DB = 20.0
"""Accumulated SQNR below which a layer counts as bad where the run states no limit."""


def sqnr_limit(run: Run) -> float:
    """The limit on the accumulated SQNR, in dB, that this run was judged by."""
    for limit in run.verdict.limits:
        if limit.metric == "sqnr_db":
            return limit.value
    return DEFAULT_LIMIT_DB


def has_channels(layer: Layer) -> bool:
    """Whether a channel holds several values of a sample; the SQNR of one value says little."""
    return len(layer.shape) > 2


def output_channel(run: Run, output: OutputResult) -> WorstChannel | None:
    """The worst channel of an output, where there are channels."""
    layer = run.layers[output.layer] if output.layer is not None else None
    return output.worst_channel if layer is None or has_channels(layer) else None


def channels_below(run: Run, output: OutputResult) -> tuple[int, int]:
    """How many channels of an output lie below the limit, or are NaN, and how many it has."""
    layer = run.layers[output.layer] if output.layer is not None else None
    if layer is None or not has_channels(layer):
        return 0, 0
    levels = run.arrays.channels(layer.index)[0]
    return int(np.count_nonzero(~(levels >= sqnr_limit(run)))), len(levels)


def beyond_limits(run: Run, output: OutputResult) -> bool:
    """Whether a metric of the whole output is beyond one of the run's limits."""
    metrics = output.accumulated
    values = (
        (limit, getattr(metrics, limit.metric, None))
        for limit in run.verdict.limits
        if not limit.about_task
    )
    return any(value is not None and limit.violated_by(value) for limit, value in values)


def standing(run: Run, output: OutputResult) -> str:
    """``6 of 10 channels below 8 dB``, ``beyond its limits``, ``within its limits``, or its state.

    A whole-tensor number can look perfect while a part of the output is dead; the channels speak
    first.
    """
    if output.accumulated is None or output.state != "ok":
        return STATE_WORDS[output.state] + (f": {output.reason}" if output.reason else "")
    below, count = channels_below(run, output)
    if below:
        return f"{below} of {count} channels below {sqnr_limit(run):g} dB"
    return "beyond its limits" if beyond_limits(run, output) else "within its limits"


def worst_output(run: Run) -> OutputResult | None:
    """The output that suffers most: broken, then by its worst channel, then as a whole."""

    def key(output: OutputResult) -> tuple[bool, float]:
        level = output.accumulated.sqnr_db if output.accumulated else np.inf
        channel = output_channel(run, output)
        levels = [level, channel.sqnr_db] if channel is not None else [level]
        return output.state not in BROKEN, float(np.min(np.nan_to_num(levels, nan=-np.inf)))

    judged = [x for x in run.outputs if x.accumulated is not None or x.state in BROKEN]
    return min(judged, key=key, default=None)


def output_sentence(run: Run) -> str:
    """What happened at the output that suffers most, for a model whose task says nothing."""
    worst = worst_output(run)
    if worst is None:
        return "No output could be compared"
    if all(output.state in ("identical", "not_compared") for output in run.outputs):
        return "Every output is the float model's"
    name = (
        f"Output {worst.name}" if len(run.outputs) == 1 else f"Worst of its outputs, {worst.name}"
    )
    told = f"{name}: {standing(run, worst)}"
    if worst.accumulated is None or worst.state != "ok":
        return told
    return f"{told}, accumulated SQNR {decibel(worst.accumulated.sqnr_db)} dB"
