"""The effect at the model's outputs, which decides how severe a finding is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qdebug.analysis.tasks import FEW_DECISIONS
from qdebug.analysis.what_if import SAMPLES, Change, Gain, Part
from qdebug.checks.check import CheckContext
from qdebug.metrics.metric import sqnr_db
from qdebug.run.model import Evidence, FindingStatus
from qdebug.vendors.advice import FloatLayer

FAIL_GAIN_DB, WARN_GAIN_DB = 6.0, 3.0
"""A fix that wins less than the second is no more than a remark."""
DAMAGED_DB, DOUBTFUL_DB, FINE_DB = 15.0, 20.0, 30.0
"""An output is damaged below the first; below the second it depends on the task, up to the third a
defect that costs ``FAIL_GAIN_DB`` is worth a warning."""
LOUD = 16.0
"""Channels so many times weaker (root mean square) than the strongest are the quiet part."""
MIN_VALUES = 16
"""A channel of fewer values has no range to speak of."""


def status_of(context: CheckContext, gain: Gain | None) -> FindingStatus:
    """How bad a defect is that costs the output so much; a task known to be unharmed excuses."""
    sound, harmed = context.once(task_is_sound), context.once(task_is_harmed)
    if gain is None or gain.db < WARN_GAIN_DB:
        return "info"
    if harmed and gain.before >= DAMAGED_DB:
        return "warn"
    if gain.db >= FAIL_GAIN_DB:
        if not gain.before >= DAMAGED_DB and not sound:
            return "warn" if context.once(task_holds) else "fail"
        return "info" if gain.before >= FINE_DB else "warn"
    return "info" if gain.before >= DOUBTFUL_DB or sound else "warn"


def task_is_sound(context: CheckContext) -> bool:
    """Whether decisions enough for a judgement show the task unharmed."""
    outcome = context.task
    if outcome is None or outcome.limits is None or outcome.guessed:
        return False
    if outcome.decisions < FEW_DECISIONS:
        return False
    _, warn = outcome.limits.as_limits()
    return not warn.violated_by(outcome.result.numbers[outcome.limits.number])


def task_holds(context: CheckContext) -> bool:
    """Whether the task's result is the same, by decisions enough to say that it does not fail."""
    return context.task is not None and context.task.holds


def task_is_harmed(context: CheckContext) -> bool:
    """Whether decisions differ, more than a single one, beyond the task's limits."""
    outcome = context.task
    if outcome is None or outcome.limits is None or outcome.guessed or outcome.wrong <= 1:
        return False
    _, warn = outcome.limits.as_limits()
    return warn.violated_by(outcome.result.numbers[outcome.limits.number])


def output_parts(context: CheckContext) -> list[Part]:
    """The outputs, in parts where some of their channels are quiet and may be a signal.

    Outputs that decide nothing on these samples are left out where others do.
    """
    task = context.task
    names = [o.name for o in context.outputs if task is None or not task.is_quiet(o.name)]
    empty = context.task is not None and not context.task.decisions
    return [Part(name) for name in names] if empty else split_parts(context, names)


def lowest_output_db(context: CheckContext) -> float:
    """SQNR of the worst part of an output, dB; ``inf`` where none was compared."""
    compared = {o.name for o in context.outputs if o.accumulated is not None}
    parts = [part for part in context.once(output_parts) if part.output in compared]
    known = [part_db(context, part) for part in parts]
    return min((-np.inf if np.isnan(v) else v for v in known), default=np.inf)


def quiet_channels(context: CheckContext, at: int) -> tuple[int, ...]:
    """Channels of a layer that its strongest ones outweigh in every number of the whole."""
    moments = context.stats[at].accumulated
    if moments is None or len(moments) < 2 or float(moments.n.min()) < MIN_VALUES:
        return ()
    power = moments.ff / moments.n
    quiet = np.flatnonzero(power * LOUD**2 <= power.max())
    return tuple(quiet.tolist())


def split_parts(context: CheckContext, outputs: Iterable[str]) -> list[Part]:
    """The quiet channels of some outputs, and the rest of them."""
    parts: list[Part] = []
    for output in context.outputs:
        if output.name not in outputs or output.layer is None:
            continue
        quiet = quiet_channels(context, output.layer)
        moments = context.stats[output.layer].accumulated
        if not quiet or moments is None:
            parts.append(Part(output.name))
            continue
        loud = tuple(sorted(set(range(len(moments))) - set(quiet)))
        parts += [Part(output.name, loud), Part(output.name, quiet)]
    return parts


def part_db(context: CheckContext, part: Part) -> float:
    """SQNR of a part of an output over all samples of the run, dB."""
    layer = next(o.layer for o in context.outputs if o.name == part.output)
    moments = context.stats[layer].accumulated if layer is not None else None
    if moments is None:
        return float("nan")
    chosen = moments if part.channels is None else moments.rows(part.channels)
    return float(sqnr_db(chosen.total())[0])


def gain_of(
    context: CheckContext,
    change: Change,
    parts: Sequence[Part] = (),
    base: Change | None = None,
    count: int = SAMPLES,
) -> Gain | None:
    """Gain of a change at its best part, None where it cannot be computed; see ``WhatIf.gain``."""
    if context.what_if is None:
        return None
    return context.what_if.gain(change, parts or context.once(output_parts), base, count)


def gains_of(
    context: CheckContext, changes: Sequence[Change], count: int = SAMPLES
) -> list[Gain | None]:
    """The gain of each of several changes, which are run side by side."""
    if context.what_if is not None:
        context.what_if.run_ahead(changes, count)
    return [gain_of(context, change, count=count) for change in changes]


def free(context: CheckContext, positions: Iterable[int], *, weights: bool = False) -> Change:
    """The change that keeps layers in float: their tensors, and their weights where asked for."""
    what_if = context.what_if
    chosen = frozenset(at for at in positions if what_if is not None and what_if.can_free(at))
    nodes = frozenset(node_index(context, at) for at in positions) if weights else frozenset()
    return Change(chosen, nodes)


def node_index(context: CheckContext, at: int) -> int:
    """Index of the float node that makes a layer's tensor; -1 for a model input."""
    node = context.float_graph.producer.get(context.layers[at].float_tensor)
    return -1 if node is None else node.index


def positions_by_tensor(context: CheckContext) -> dict[str, int]:
    """Float tensor to the position of its pair."""
    return {pair.float_tensor: at for at, pair in enumerate(context.pairing.pairs)}


def float_layers(context: CheckContext, positions: Iterable[int]) -> list[FloatLayer]:
    """Layers as the advice for toolchains names them."""
    chosen = [context.layers[at] for at in sorted(set(positions))]
    return [FloatLayer(x.name, x.op, x.float_tensor) for x in chosen]


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
                    ["samples", len(context.what_if.samples)],
                ]
            },
        )
    ]


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


def rounded(gain: Gain | None) -> float | None:
    """The gain as it stands in a finding, dB."""
    return None if gain is None else round(gain.db, 2)


def is_doubtful(context: CheckContext, limit_db: float = DOUBTFUL_DB) -> bool:
    """Whether an output or the task is bad enough for a defect of ranges to be looked for."""
    return lowest_output_db(context) < limit_db or context.once(task_is_harmed)


def structural_status(context: CheckContext, gain: Gain | None) -> FindingStatus:
    """How bad a defect is that is wrong in itself: never less than a warning."""
    if gain is None:
        return "fail" if lowest_output_db(context) < DAMAGED_DB else "warn"
    return "fail" if gain.db >= WARN_GAIN_DB else "warn"
