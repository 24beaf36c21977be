"""``bad-scale`` and ``qdq-mismatch``: the quantization parameters are wrong in themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import gain_evidence, gain_of, rounded, structural_status
from qdebug.checks.weight_values import NEGLIGIBLE, weight_rows
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import linear_quantizer
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

SAME = 0.01
"""Scales of one tensor that differ by more are not the same number rounded twice."""
_PASSING = frozenset("Identity Reshape Transpose Flatten Squeeze Unsqueeze MaxPool Clip".split())
"""Operators between Q and DQ that leave the codes' meaning alone."""
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
        at
        for at, pair in enumerate(context.pairing.pairs)
        if touched & {graph.nodes[index].label for index in pair.path}
        or getattr(graph.producer.get(pair.raw), "label", None) in touched
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


@dataclass(frozen=True)
class _Mismatch:
    quantize: Node
    dequantize: Node
    written: Quantizer
    read: Quantizer


def _mismatches(graph: Graph) -> Iterator[_Mismatch]:
    constants = Constants(graph)
    for node in graph.nodes:
        if node.op not in QUANTIZE_OPS or node.op == "AscendQuant":
            continue
        written = linear_quantizer(constants, node)
        if written is None:
            continue
        for reader in _readers(graph, node.outputs[0]):
            read = linear_quantizer(constants, reader)
            if read is not None and _differ(written, read):
                yield _Mismatch(node, reader, written, read)


def mismatched(context: CheckContext) -> set[int]:
    """Positions of pairs whose Q and DQ disagree: they have no range to speak of."""
    raw = {item.quantize.inputs[0] for item in context.once(_all_mismatches)}
    return {at for at, pair in enumerate(context.pairing.pairs) if pair.raw in raw}


def _all_mismatches(context: CheckContext) -> list[_Mismatch]:
    return list(_mismatches(context.quant_graph))


def _readers(graph: Graph, codes: str) -> Iterator[Node]:
    """``DequantizeLinear`` nodes that read the codes, moved or pooled perhaps."""
    todo, seen = [codes], {codes}
    while todo:
        for node in graph.consumer_nodes(todo.pop()):
            if node.op in DEQUANTIZE_OPS:
                yield node
            elif node.op in _PASSING and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                todo.append(node.outputs[0])


def _differ(written: Quantizer, read: Quantizer) -> bool:
    if written.scale.shape != read.scale.shape:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = read.scale.astype(np.float64) / written.scale
    scales = bool((np.abs(ratio - 1) > SAME).any())
    return scales or bool((written.zero_point != read.zero_point).any())


def _qdq_mismatch(context: CheckContext) -> Iterator[Finding]:
    for item in context.once(_all_mismatches):
        yield _mismatch_finding(context, item)


def _mismatch_finding(context: CheckContext, item: _Mismatch) -> Finding:
    raw = item.quantize.inputs[0]
    own = [at for at, pair in enumerate(context.pairing.pairs) if pair.raw == raw]
    layers = _reached(context, item.dequantize.outputs[0], own)
    what_if = context.what_if
    usable = [at for at in own if what_if is not None and what_if.can_free(at)]
    gain = gain_of(context, Change(quantizers={at: item.written for at in usable[:1]}))
    users = ", ".join(
        n.label for n in context.quant_graph.consumer_nodes(item.dequantize.outputs[0])
    )
    difference = _describe(item.written, item.read)
    return QDQ_MISMATCH.found(
        structural_status(context, gain) if usable else "fail",
        f"{raw}: Q and DQ disagree ({difference}), read by {users or 'the output'}",
        f"{item.quantize.label} writes codes with {_parameters(item.written)}, "
        f"{item.dequantize.label} reads them with {_parameters(item.read)}: every value comes out "
        f"changed ({difference}).",
        f"Give `{item.dequantize.label}` the scale and zero point of `{item.quantize.label}`. Both "
        "must share one pair of constants; look at the tool that rewrote one of them.",
        layers=layers,
        evidence=[
            Evidence(
                "table",
                "Parameters of the two",
                {
                    "columns": ["node", "scale", "zero point"],
                    "rows": [
                        [item.quantize.label, *_numbers(item.written)],
                        [item.dequantize.label, *_numbers(item.read)],
                    ],
                },
            ),
            *gain_evidence(context, gain),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


def _reached(context: CheckContext, read: str, own: list[int]) -> list[int]:
    """The layers of the tensor itself and of the nodes that read it."""
    users = {n.index for n in context.quant_graph.consumer_nodes(read)}
    graph = context.quant_graph
    found = [
        at
        for at, pair in enumerate(context.pairing.pairs)
        if (maker := graph.producer.get(pair.raw)) is not None and maker.index in users
    ]
    return sorted({*own, *found})


def _describe(written: Quantizer, read: Quantizer) -> str:
    told = []
    ratio = float((read.scale.astype(np.float64) / written.scale).reshape(-1)[0])
    if abs(ratio - 1) > SAME:
        told.append(f"scale times {ratio:.4g}")
    shift = int((read.zero_point - written.zero_point).reshape(-1)[0])
    if shift:
        told.append(f"zero point {shift:+d}")
    return " and ".join(told) or "in some channels"


def _numbers(quantizer: Quantizer) -> tuple[float, int]:
    scale, zero = quantizer.scale.reshape(-1)[0], quantizer.zero_point.reshape(-1)[0]
    return float(f"{float(scale):.6g}"), int(zero)


def _parameters(quantizer: Quantizer) -> str:
    scale, zero = _numbers(quantizer)
    return f"scale {scale:.4g} and zero point {zero}"


BAD_SCALE = Check(KINDS["bad-scale"], _bad_scale)
QDQ_MISMATCH = Check(KINDS["qdq-mismatch"], _qdq_mismatch)
