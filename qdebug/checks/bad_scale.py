"""``bad-scale``: scales that are no usable number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.weights import NEGLIGIBLE, weight_rows
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

_SCALE_SLOTS = {
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    "QLinearAdd": (1, 4, 6),
    "QLinearMul": (1, 4, 6),
    "QLinearSigmoid": (1, 3),
    "QLinearLeakyRelu": (1, 3),
    "QLinearGlobalAveragePool": (1, 3),
    "QLinearAveragePool": (1, 3),
    "QGemm": (1, 4, 7),
}


def _bad_scale(context: CheckContext) -> Iterator[Finding]:
    graph = context.quant_graph
    rows: list[tuple[str, str, str, str]] = []
    for tensor, node in _scales(graph).items():
        value = graph.constant(tensor)
        if value is None or value.dtype.kind != "f":
            continue
        problem = _problem(value.astype(np.float64))
        if problem is not None:
            lost = "nothing" if _is_harmless(context, node, value) else "its values"
            rows.append((tensor, node.label, problem, lost))
    if not rows:
        return
    rows.sort(key=lambda row: row[3] == "nothing")
    harmless = rows[0][3] == "nothing"
    touched = {row[1] for row in rows}
    layers = [
        layer.at
        for layer in context.joined
        if touched & {graph.nodes[index].label for index in layer.pair.path}
        or getattr(graph.producer.get(layer.pair.raw), "label", None) in touched
    ]
    tensor, node_name, wrong, _ = rows[0]
    effect = (
        "the float model's values are next to zero there, nothing is lost"
        if harmless
        else "no value survives it"
    )
    yield BAD_SCALE.found(
        "info" if harmless else "fail",
        f"{len(rows)} scale{'s are' if len(rows) > 1 else ' is'} no usable number",
        f"The scale {tensor} of {node_name} is {wrong}: {effect}.",
        "Quantize again. A scale of zero comes from a tensor that was constant in calibration, an "
        "infinite one from a channel without weights, NaN from a calibration run that overflowed.",
        layers=layers,
        evidence=[
            Evidence(
                "table",
                "Scales",
                {
                    "columns": ["scale", "node", "it is", "lost"],
                    "rows": [list(row) for row in rows[:30]],
                },
            )
        ],
        confidence="high",
    )


def _is_harmless(context: CheckContext, node: Node, scale: np.ndarray) -> bool:
    """Whether a scale of next to nothing serves channels whose float values are nothing too."""
    pair = next(
        (p for p in context.pairing.weights if p.quant_tensor in (node.inputs[0], *node.outputs)),
        None,
    )
    if pair is None or not (np.isfinite(scale) & (scale >= 0)).all():
        return False
    rows, _ = weight_rows(pair)
    bad = scale.reshape(-1) < np.finfo(np.float32).tiny
    chosen = rows[bad] if len(bad) == len(rows) else rows
    return bool(np.abs(chosen).max(initial=0.0) <= NEGLIGIBLE * np.abs(rows).max())


def _scales(graph: Graph) -> dict[str, Node]:
    """Every tensor that serves as a scale, and a node that reads it."""
    found: dict[str, Node] = {}
    for node in graph.nodes:
        linear = node.op in QUANTIZE_OPS | DEQUANTIZE_OPS
        for slot in (1,) if linear else _SCALE_SLOTS.get(node.op, ()):
            if slot < len(node.inputs) and node.inputs[slot]:
                found.setdefault(node.inputs[slot], node)
    return found


def _problem(scale: np.ndarray) -> str | None:
    tiny = float(np.finfo(np.float32).tiny)
    tests = (
        ("NaN", np.isnan(scale)),
        ("infinite", np.isinf(scale)),
        ("zero", scale == 0),
        ("negative", scale < 0),
        ("denormal", (scale > 0) & (scale < tiny)),
    )
    for name, mask in tests:
        if mask.any():
            where = "" if scale.size == 1 else f" in channel {int(np.flatnonzero(mask)[0])}"
            return f"{name}{where}"
    return None


BAD_SCALE = Check(KINDS["bad-scale"], _bad_scale)
