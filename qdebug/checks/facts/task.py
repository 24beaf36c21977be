"""What the effect on the task says: harmed, known to be unharmed, or not known."""

from __future__ import annotations

from qdebug.checks.context import CheckContext

LEAST_TO_FAIL = 4
"""Fewer decisions than this never fail by the default limits. By judgement: at
eight `task-effect` cannot fail on the four pictures that the tests give a sample classifier."""


def task_is_sound(context: CheckContext) -> bool:
    """Whether decisions enough for a judgement show a known task unharmed."""
    return context.task is not None and context.task.is_sound


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
