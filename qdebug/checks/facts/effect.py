"""The effect at the model's outputs, which decides how severe a finding is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from qdebug.analysis.what_if import SAMPLES, Change, Gain, Part
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.outputs import lowest_output_db, output_parts
from qdebug.checks.facts.reach import node_index
from qdebug.checks.facts.task import task_holds, task_is_harmed, task_is_sound
from qdebug.run.model import FindingStatus

FAIL_GAIN_DB, WARN_GAIN_DB = 6.0, 3.0
"""A defect that costs the first may fail a run, one that costs less than the second is a remark.

One bit of resolution (6.02 dB), and half of the error's power. At 12 dB `range stretched` of
`benchmarks.faults` is a remark instead of a warning.
"""
WORTH_DB = 0.25
"""An operator that computes something else and wins less at the outputs is a remark, and so is what
another fault hides. By judgement: such a thing is wrong in itself, and an input that is paired with
something else wins nothing."""
EXCELLENT_DB = 50.0
"""Outputs this close to the float run's have lost nothing. By judgement: 8 bits, fully used, end
below."""
TRUSTED_SAMPLES = 4
"""Samples from which on a gain is taken as measured; below, it has to exceed the spread between
them. By judgement: as many as gains are computed on."""
ALONE_DB = 5.0
"""Gain from which on a single sample is enough for a warning where the output is not damaged. By
judgement: gains of 4.5 dB on one picture have vanished over twelve."""
DAMAGED_DB, DOUBTFUL_DB, FINE_DB = 15.0, 20.0, 30.0
"""SQNR of an output: damaged below the first, a matter of the task below the second, and up to the
third a defect that costs ``FAIL_GAIN_DB`` is worth a warning. By judgement: at half of the
first the sample `classifier-one-photo` does not fail; at twice of it `range stretched` of
`benchmarks.faults` does, and at half of the third that is a remark."""


def status_of(context: CheckContext, gain: Gain | None) -> FindingStatus:
    """How bad a defect is that costs the output so much; a task known to be unharmed excuses."""
    sound, harmed = context.once(task_is_sound), context.once(task_is_harmed)
    if gain is None or gain.db < WARN_GAIN_DB or is_within_spread(gain):
        return "info"
    if harmed and gain.before >= DAMAGED_DB:
        return "warn"
    if gain.db >= FAIL_GAIN_DB:
        if not gain.before >= DAMAGED_DB and not sound:
            return "warn" if context.once(task_holds) else "fail"
        return "info" if gain.before >= FINE_DB else "warn"
    return "info" if gain.before >= DOUBTFUL_DB or sound else "warn"


def is_bad(context: CheckContext, gain: Gain) -> bool:
    """Whether a defect that costs so much is more than a remark; see ``gain_of``."""
    return status_of(context, gain) != "info"


def slip_status(
    context: CheckContext, gain: Gain | None, *, certain: bool = False
) -> FindingStatus:
    """How bad a slip in single layers is that no way of quantizing makes, a resolution thrown away.

    As ``status_of``, but a warning wherever it costs ``WARN_GAIN_DB``: it stays one where the
    output has enough left.

    Args:
        context: of the run.
        gain: of undoing it.
        certain: constants tell it, not the values of samples: then few of these may disagree about
            what it costs, and not about whether it is there.
    """
    status = status_of(context, gain)
    if status != "info" or gain is None or gain.db < WARN_GAIN_DB:
        return status
    if is_within_spread(gain) and not certain:
        return "info"
    return "warn" if gain.before < EXCELLENT_DB else "info"


def is_within_spread(gain: Gain) -> bool:
    """Whether another sample may well show nothing of a gain measured on few.

    The spread of a single sample is not known: where the output is not damaged, the gain has to be
    more than ``ALONE_DB``.
    """
    if not 0 < gain.samples < TRUSTED_SAMPLES:
        return False
    if gain.spread is None:
        return gain.db <= ALONE_DB and gain.before >= DAMAGED_DB
    return gain.db <= gain.spread


def structural_status(context: CheckContext, gain: Gain | None) -> FindingStatus:
    """How bad a defect is that is wrong in itself: never less than a warning."""
    if gain is None:
        return "fail" if lowest_output_db(context) < DAMAGED_DB else "warn"
    return "fail" if gain.db >= WARN_GAIN_DB else "warn"


def is_doubtful(context: CheckContext, limit_db: float = DOUBTFUL_DB) -> bool:
    """Whether an output or the task is bad enough for a defect of ranges to be looked for."""
    return lowest_output_db(context) < limit_db or context.once(task_is_harmed)


def free(context: CheckContext, positions: Iterable[int], *, weights: bool = False) -> Change:
    """The change that keeps layers in float: their tensors, and their weights where asked for."""
    what_if = context.what_if
    chosen = frozenset(at for at in positions if what_if is not None and what_if.can_free(at))
    nodes = frozenset(node_index(context, at) for at in positions) if weights else frozenset()
    return Change(chosen, nodes)


def gain_of(
    context: CheckContext,
    change: Change,
    parts: Sequence[Part] = (),
    base: Change | None = None,
    count: int = SAMPLES,
    *,
    everywhere: bool = False,
    matters: Callable[[Gain], bool] | None = None,
) -> Gain | None:
    """Gain of a change at its best part, None where it cannot be computed; see ``WhatIf.gain``."""
    if context.what_if is None:
        return None
    asked = parts or context.once(output_parts)
    return context.what_if.gain(change, asked, base, count, everywhere=everywhere, matters=matters)


def cost_of(context: CheckContext, cure: Change) -> float | None:
    """What a fault costs at the part of the outputs that loses most, whatever it has left, dB."""
    gain = gain_of(context, cure, everywhere=True)
    return None if gain is None else gain.db


def gains_of(
    context: CheckContext,
    changes: Sequence[Change],
    count: int = SAMPLES,
    matters: Callable[[Gain], bool] | None = None,
) -> list[Gain | None]:
    """The gain of each of several changes, which are run side by side."""
    if context.what_if is not None:
        context.what_if.run_ahead(changes, count, context.once(output_parts), matters)
    return [gain_of(context, change, count=count, matters=matters) for change in changes]


def gain_beside(context: CheckContext, layers: Sequence[int], others: Sequence[int]) -> Gain | None:
    """Gain of freeing layers, alone or after the other group: one may hide the other's."""
    alone = gain_of(context, free(context, layers))
    if not others:
        return alone
    both = free(context, [*layers, *others])
    last = gain_of(context, both, base=free(context, others))
    return max((g for g in (alone, last) if g is not None), key=lambda g: g.db, default=None)


def rounded(gain: Gain | None) -> float | None:
    """The gain as it stands in a finding, dB."""
    return None if gain is None else round(gain.db, 2)
