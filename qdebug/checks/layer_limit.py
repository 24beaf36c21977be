"""``layer-limit``: a layer is beyond the limit that the configuration sets for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.metrics.metric import METRICS
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, Layer, Limit

_SHOWN = 20


def _applies(context: CheckContext) -> str | None:
    return None if context.layer_limits else "no layer has a limit of its own"


def _run(context: CheckContext) -> Iterable[Finding]:
    unused = [x.match for x in context.layer_limits if not any(map(x.applies_to, context.layers))]
    if unused:
        yield layer_limit.found(
            "warn",
            "A limit names no layer",
            f"no layer's name matches {', '.join(map(repr, unused))}",
            "Correct the pattern of the [[override]]; it is compared with node names.",
            confidence="high",
        )
    beyond = list(_beyond(context))
    if beyond:
        layer, limit, value = beyond[0]
        yield layer_limit.found(
            "fail",
            f"{len({x.index for x, _, _ in beyond})} of the layers with limits are beyond them",
            f"#{layer.index} {layer.name}: accumulated {_told(limit, value)}",
            "Find the source upstream of the first of these layers, or settle for a lower limit.",
            layers=dict.fromkeys(x.index for x, _, _ in beyond),
            evidence=[_table(beyond[:_SHOWN])],
            confidence="high",
        )


def _beyond(context: CheckContext) -> Iterator[tuple[Layer, Limit, float]]:
    for layer in context.layers:
        if layer.accumulated is None or layer.state == "low_signal":
            continue
        for group in context.layer_limits:
            if not group.applies_to(layer):
                continue
            for limit in group.limits:
                value = float(getattr(layer.accumulated, limit.metric))
                if limit.violated_by(value):
                    yield layer, limit, value


def _told(limit: Limit, value: float) -> str:
    metric = METRICS[limit.metric]
    sign = "<" if limit.direction == "min" else ">"
    shown = metric.write(value, limit.value)
    return f"{metric.title} {shown} {sign} {limit.value:g} {metric.unit}".rstrip()


def _table(beyond: list[tuple[Layer, Limit, float]]) -> Evidence:
    rows = [[x.index, x.name, limit.metric, value, limit.value] for x, limit, value in beyond]
    columns = ["layer", "name", "metric", "accumulated", "limit"]
    return Evidence("table", "Layers beyond their limits", {"columns": columns, "rows": rows})


layer_limit = Check(KINDS["layer-limit"], _run, _applies)
