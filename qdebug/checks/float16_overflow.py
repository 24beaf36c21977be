"""``float16-overflow``: values of the float run that float16 cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

FLOAT16_MAX = 65504.0
"""Largest finite number of IEEE 754's binary16."""
NEAR = 0.5
"""A value beyond this share of the limit may overflow on another picture. By judgement."""


def _float16_overflow(context: CheckContext) -> Iterator[Finding]:
    rows: list[list[str | float]] = []
    layers: list[int] = []
    for layer in context.layers:
        half = context.quant_graph.type_of(layer.quant_tensor).dtype == "float16"
        peak = context.layer(layer.index).peak
        if peak > NEAR * FLOAT16_MAX and (half or layer.state == "nonfinite"):
            rows.append([layer.name, float(f"{peak:.5g}"), layer.state])
            layers.append(layer.index)
    if not rows:
        return
    over = [row for row in rows if float(row[1]) > FLOAT16_MAX]
    name, largest = max(over or rows, key=lambda row: float(row[1]))[:2]
    yield FLOAT16.found(
        "fail" if over else "warn",
        f"{name}: {largest:.4g} {'is beyond' if over else 'is near'} float16's largest, 65504",
        f"{len(over)} layers leave the range of float16 in the float run, {len(rows) - len(over)} "
        "more come within half of it.",
        f"Keep `{name}` and what squares or sums into it in float32, or scale the values down "
        "before (a power of two in the weights before and after changes nothing else).",
        layers=layers,
        evidence=[
            Evidence(
                "table",
                "Largest values of the float run",
                {"columns": ["layer", "largest value", "state"], "rows": rows[:30]},
            )
        ],
        confidence="high",
    )


def _has_float16(context: CheckContext) -> str | None:
    graph = context.quant_graph
    names = [*graph.initializers, *graph.types]
    if any(graph.type_of(name).dtype == "float16" for name in names):
        return None
    return "the quant model has no float16 tensor"


FLOAT16 = Check(KINDS["float16-overflow"], _float16_overflow, _has_float16)
