"""``output-error``: an output is beyond a limit on its error.

Limits that the user gave hold as they stand. Of the default ones, the lower (``DEFAULT_LIMITS``)
fail and the upper (``WARN_LIMITS``) warn, unless enough of the task's decisions are known not to
have changed. Outputs that decide nothing on these samples are not held to default limits. How the
finding is weighed beside others: ``weigh``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.limits import WARN_LIMITS, is_given, output_limits
from qdebug.checks.facts.task import task_is_sound
from qdebug.metrics.metric import METRICS
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus, Limit, OutputResult

_ADVICE = (
    "Follow the findings that name layers. Where none does, measure `--sensitivity` and give the "
    "first layers of that list 16 bits. If the task is known to bear this error, set your own "
    "limits (`--fail-under`)."
)
_NO_NUMBER = ("zero_quant", "nonfinite", "low_signal")
"""States that the verdict reads by themselves."""


def _applies(context: CheckContext) -> str | None:
    return None if any(o.accumulated for o in context.outputs) else "no output could be compared"


def _run(context: CheckContext) -> Iterator[Finding]:
    outputs = [o for o in context.outputs if o.accumulated and o.state not in _NO_NUMBER]
    hard, given = output_limits(context.limits), is_given(context.limits)
    judged = outputs if given else _deciding(context, outputs)
    beyond, sound = _violations(judged, hard), context.once(task_is_sound)
    status: FindingStatus = "fail"
    if not beyond and not given and not sound:
        beyond, status = _violations(judged, WARN_LIMITS), "warn"
    lengths = [o for o in outputs if o.reason and o.state in ("ok", "identical")]
    if beyond:
        yield _found(status, beyond)
    elif lengths:
        yield _of_lengths(lengths)


def _deciding(context: CheckContext, outputs: Sequence[OutputResult]) -> list[OutputResult]:
    """The outputs that carry signal for the task; all, where none is known to."""
    task = context.task
    loud = [o for o in outputs if task is None or not task.is_quiet(o.name)]
    return loud or list(outputs)


def _violations(
    outputs: Iterable[OutputResult], limits: Sequence[Limit]
) -> list[tuple[OutputResult, Limit, float]]:
    """The first limit that each output is beyond, and its value."""
    found = []
    for output in outputs:
        values = [(limit, float(getattr(output.accumulated, limit.metric))) for limit in limits]
        broken = [(limit, value) for limit, value in values if limit.violated_by(value)]
        if broken:
            found.append((output, *broken[0]))
    return found


def _found(status: FindingStatus, beyond: Sequence[tuple[OutputResult, Limit, float]]) -> Finding:
    told = [_told(*item) for item in beyond]
    more = f"; so are {len(told) - 1} more outputs" if len(told) > 1 else ""
    rows = [[o.name, METRICS[x.metric].title, value, x.value] for o, x, value in beyond]
    columns = ["output", "metric", "value", "limit"]
    return CHECK.found(
        status,
        "An output is beyond its limit",
        told[0] + more,
        _ADVICE,
        layers=[o.layer for o, _, _ in beyond if o.layer is not None],
        evidence=[Evidence("table", "Limits", {"columns": columns, "rows": rows})],
        confidence="high",
    )


def _told(output: OutputResult, limit: Limit, value: float) -> str:
    metric = METRICS[limit.metric]
    sign = "<" if limit.direction == "min" else ">"
    bound = f"{limit.value:g} {metric.unit}".rstrip()
    shown = f"{metric.title} {metric.write(value, limit.value)}"
    return f"output {output.name}: accumulated {shown} {sign} {bound}"


def _of_lengths(outputs: Sequence[OutputResult]) -> Finding:
    return CHECK.found(
        "warn",
        "An output has another length",
        "; ".join(f"output {o.name}: {o.reason}" for o in outputs),
        "Look at the value that decides the length: a threshold, a count or an end symbol.",
        layers=[o.layer for o in outputs if o.layer is not None],
        confidence="high",
    )


CHECK = Check(KINDS["output-error"], _run, _applies)
