"""What the effect on the task says: harmed, known to be unharmed, or not known."""

from __future__ import annotations

from qdebug.checks.context import CheckContext

LEAST_TO_FAIL = 4
"""Fewer decisions than this never fail by the default limits. By judgement: at
eight `task-effect` cannot fail on the four pictures that the tests give a sample classifier."""
FEW_DECISIONS = 30
"""Fewer decisions prove nothing: at 30 the 95 % interval of a share of 0.9 (Wilson 1927) is 0.2
wide."""


def task_is_sound(context: CheckContext) -> bool:
    """Whether decisions enough for a judgement show the task unharmed."""
    outcome = context.task
    if outcome is None or outcome.limits is None or outcome.decisions < FEW_DECISIONS:
        return False
    _, warn = outcome.limits.as_limits()
    return not warn.violated_by(outcome.result.numbers[outcome.limits.number])


def task_is_harmed(context: CheckContext) -> bool:
    """Whether decisions differ, more than a single one, beyond the task's limits."""
    outcome = context.task
    if outcome is None or outcome.limits is None or outcome.wrong <= 1:
        return False
    _, warn = outcome.limits.as_limits()
    return warn.violated_by(outcome.result.numbers[outcome.limits.number])
