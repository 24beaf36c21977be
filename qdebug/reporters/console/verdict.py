"""The verdict, and every output beside its limits.

A whole-tensor number can look perfect while a part of the output is dead, so each output line
begins with the worst channel.
"""

from __future__ import annotations

from rich.text import Text

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.reporters.console.look import STATUS_STYLES, Look
from qdebug.run.arrays import RunArrays
from qdebug.run.model import ErrorMetrics, Limit, OutputResult, Run, TaskResult
from qdebug.run.standing import output_channel, sqnr_limit, worst_output
from qdebug.vocabulary.numbers import decibel, number
from qdebug.vocabulary.states import GATE_WORDS, STATE_WORDS


def section(run: Run, look: Look) -> list[Text]:
    """Verdict, outputs, effect on the task."""
    verdict = run.verdict
    reason = verdict.reason
    if verdict.status in ("warn", "fail"):
        reason = f"{reason} (gate: {GATE_WORDS[verdict.gate]})"
    lines = look.hanging("Verdict  ", reason, lead_style=STATUS_STYLES[verdict.status])
    arrays = run.arrays
    for output in run.outputs:
        lines += _output(output, run.verdict.limits, _channels(output, arrays, run), look)
    if run.task is not None:
        lines += look.hanging("  task   ", f"{run.task.kind}: {run.task.summary}")
        lines += look.items("         ", _task_limits(run.task, verdict.limits))
    return lines


def given_limits(run: Run, look: Look, lead: str) -> list[Text]:
    """The numbers that the user's own limits hold, each beside its limit."""
    given = tuple(limit for limit in run.verdict.limits if limit.origin != "default")
    output = worst_output(run)
    facts = _held(output.accumulated, given) if output and output.accumulated else []
    facts += _task_limits(run.task, given) if run.task is not None else []
    return look.items(lead, facts, lead_style="dim")


def _held(metrics: ErrorMetrics, limits: tuple[Limit, ...]) -> list[str]:
    """The metrics that some limits hold."""
    held = [x for x in limits if x.metric in METRICS]
    values = ((x, getattr(metrics, x.metric)) for x in held)
    return [
        f"accumulated {METRICS[limit.metric].told(value, limit.value)}{_limit(limit)}"
        for limit, value in values
        if value is not None
    ]


def _task_limits(task: TaskResult, limits: tuple[Limit, ...]) -> list[str]:
    """The numbers of the task that decide, each beside its limit."""
    return [
        f"{limit.task_number} {number(task.numbers[limit.task_number])}{_limit(limit)}"
        for limit in limits
        if limit.about_task and limit.task_number in task.numbers
    ]


def _channels(output: OutputResult, arrays: RunArrays, run: Run) -> list[str]:
    """The worst channel of an output, and how many are as bad."""
    layer = run.layers[output.layer] if output.layer is not None else None
    worst = output_channel(run, output)
    if worst is None:
        return []
    told = [f"worst channel {worst.index}: accumulated SQNR {decibel(worst.sqnr_db)} dB"]
    levels = arrays.channels(layer.index)[0] if layer is not None else ()
    limit = sqnr_limit(run)
    below = sum(not level >= limit for level in levels)
    if below > 1:
        told.append(f"{below} of {len(levels)} channels below {limit:g} dB")
    return told


def _output(
    output: OutputResult, limits: tuple[Limit, ...], channels: list[str], look: Look
) -> list[Text]:
    name = look.cut(output.name, look.width // 3)
    if output.accumulated is None or output.state == "not_compared":
        return look.hanging(f"  {name}  ", output.reason or STATE_WORDS[output.state])
    facts: list[str] = []
    if output.state not in ("ok", "identical"):
        facts.append(output.reason or STATE_WORDS[output.state])
    elif output.reason:
        facts.append(output.reason)
    facts += channels
    facts += _judged(output.accumulated, limits)
    if output.worst_sample is not None:
        facts.append(f"worst sample {look.cut(output.worst_sample, look.width // 3)}")
    if output.runtime is not None:
        facts.append(f"simulation against deployed SQNR {decibel(output.runtime.sqnr_db)} dB")
    return look.items(f"  {name}  ", facts, lead_style="bold")


def _judged(metrics: ErrorMetrics, limits: tuple[Limit, ...]) -> list[str]:
    """The metrics that decide, each beside its limit; the leading ones in any case."""
    held = {limit.metric: limit for limit in limits if not limit.about_task}
    facts = []
    for metric in dict.fromkeys((*LEAD, *(METRICS[name] for name in held if name in METRICS))):
        value = getattr(metrics, metric.name)
        if value is None:
            continue
        limit = held.get(metric.name)
        told = metric.told(value, limit.value if limit else None)
        facts.append(f"accumulated {told}{_limit(limit) if limit else ''}")
    return facts


def _limit(limit: Limit) -> str:
    sign = "≥" if limit.direction == "min" else "≤"
    origin = "" if limit.origin == "default" else f", {limit.origin}"
    return f" ({sign} {number(limit.value)}{origin})"
