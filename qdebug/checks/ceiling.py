"""``ceiling``: what 16-bit codes over the same ranges cannot repair is not a matter of resolution.

The check fails where an output, or the task, is beyond its limits with 16-bit codes too, and warns
where an output is beyond the soft limits and 16 bits win less than ``LEAST_GAIN_DB``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.limits import WARN_LIMITS, output_limits
from qdebug.checks.facts.task import LEAST_TO_FAIL
from qdebug.run.kinds import KINDS
from qdebug.run.model import ErrorMetrics, Evidence, Finding, FindingStatus, Limit, OutputResult
from qdebug.vocabulary.numbers import cosine

LEAST_GAIN_DB = 3.0
"""A gain below half of the error's power says that rounding is not what the output suffers from. By
judgement."""
_NOT_RESOLUTION = (
    "Do not look for more bits or a better rounding. Look at what 16-bit codes leave as it is, in "
    "this order: the input (preprocessing on both sides), the weights (of this float model?), "
    "values beyond their ranges (calibrate on more, and on typical, samples), scales and zero "
    "points that do not belong together."
)


def _applies(context: CheckContext) -> str | None:
    if context.ceiling is None:
        return "not measured; ask for it with --ceiling"
    if context.ceiling.reason is not None:
        return context.ceiling.reason
    if not any(output.ceiling for output in context.outputs):
        return "no output of the 16-bit model could be compared"
    return None


def _run(context: CheckContext) -> Iterable[Finding]:
    outputs = [o for o in context.outputs if o.ceiling and o.state != "low_signal"]
    hard, soft = output_limits(context.limits), WARN_LIMITS
    beyond = next((o for o in outputs if _is_beyond(o.ceiling, hard)), None)
    if beyond is None and outputs and _task_fails(context):
        beyond = outputs[0]
    if beyond is not None:
        yield _finding(context, "fail", "What is lost is not resolution", beyond)
        return
    close = next((o for o in outputs if _is_beyond(o.ceiling, soft) and _gains_little(o)), None)
    if close is not None and not any(limit.origin != "default" for limit in hard):
        yield _finding(context, "warn", "More bits would win little", close)
        return
    if outputs:
        worst = min(outputs, key=lambda o: o.accumulated.sqnr_db if o.accumulated else math.inf)
        yield _finding(context, "pass", "With 16-bit codes the outputs are sound", worst)


def _task_number(context: CheckContext) -> tuple[str, float] | None:
    """The task's deciding number with 16-bit codes: its name and value."""
    task = context.task
    if task is None or task.limits is None or not task.decisions:
        return None
    value = task.result.numbers.get(f"ceiling_{task.limits.number}")
    return None if value is None else (task.limits.number, value)


def _task_fails(context: CheckContext) -> bool:
    found, task = _task_number(context), context.task
    if found is None or task is None or task.limits is None or task.guessed:
        return False
    given = [x for x in context.limits or () if x.about_task and x.task_number == found[0]]
    if given:
        return any(limit.violated_by(found[1]) for limit in given)
    return found[1] < task.limits.fail and task.decisions >= LEAST_TO_FAIL


def _is_beyond(metrics: ErrorMetrics | None, limits: Iterable[Limit]) -> bool:
    return metrics is not None and any(
        limit.violated_by(float(getattr(metrics, limit.metric))) for limit in limits
    )


def _gains_little(output: OutputResult) -> bool:
    if output.ceiling is None or output.accumulated is None:
        return False
    return not output.ceiling.sqnr_db - output.accumulated.sqnr_db >= LEAST_GAIN_DB


def _finding(
    context: CheckContext, status: FindingStatus, title: str, output: OutputResult
) -> Finding:
    harmed = status in ("fail", "warn")
    return CHECK.found(
        status,
        title,
        _seen(context, output),
        _NOT_RESOLUTION if harmed else "",
        layers=() if output.layer is None or not harmed else (output.layer,),
        evidence=[_table(context)],
        confidence="high",
    )


def _seen(context: CheckContext, output: OutputResult) -> str:
    assert output.ceiling is not None
    reached = f"{output.ceiling.sqnr_db:.1f} dB (cosine {cosine(output.ceiling.cosine)})"
    text = f"with 16-bit codes over the same ranges output {output.name} reaches {reached}"
    if output.accumulated is not None:
        text += f", as it is {output.accumulated.sqnr_db:.1f} dB"
    task = _task_number(context)
    if task is not None and context.task is not None:
        now = context.task.result.numbers[task[0]]
        text += f"; task.{task[0]} is {task[1]:.3g}, as it is {now:.3g}"
    made = context.ceiling.made if context.ceiling else None
    if made is not None and made.left:
        text += f"; {made.left} tensors could not be given 16 bits"
    return text


def _table(context: CheckContext) -> Evidence:
    rows = [
        [
            output.name,
            output.accumulated.sqnr_db if output.accumulated else None,
            output.ceiling.sqnr_db,
            output.accumulated.cosine if output.accumulated else None,
            output.ceiling.cosine,
        ]
        for output in context.outputs
        if output.ceiling is not None
    ]
    made = context.ceiling.made if context.ceiling else None
    counts = f" ({made.tensors} tensors, {made.weights} weights)" if made else ""
    columns = ["output", "SQNR as it is, dB", "with 16 bits, dB", "cosine as it is", "with 16 bits"]
    data = {"columns": columns, "rows": rows}
    return Evidence("table", f"Declared simulation, 16-bit codes{counts}", data)


CHECK = Check(KINDS["ceiling"], _run, _applies)
