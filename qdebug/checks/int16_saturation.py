"""``int16-saturation-risk``: products that overflow on CPUs without VNNI."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

INT16_MAX = 32767
"""Where ``vpmaddubsw`` saturates."""
UINT8_MAX = 255
"""Largest activation it multiplies."""


def _int16_saturation(context: CheckContext) -> Iterator[Finding]:
    layers = context.once(layers_of_nodes)
    rows: list[list[str | float]] = []
    touched: list[int] = []
    for pair in context.pairing.weights:
        if pair.role != "weight" or pair.quantizer is None or pair.quantizer.dtype != "int8":
            continue
        if not _reads_uint8(context.quant_graph, pair.quant_tensor):
            continue
        share = saturating_share(context.quant_graph, pair.quant_tensor)
        if share > 0:
            label = context.float_graph.nodes[pair.node].label
            rows.append([label, round(100 * share, 2)])
            touched += [layers[pair.node]] if pair.node in layers else []
    if not rows:
        return
    rows.sort(key=lambda row: -float(row[1]))
    columns = ["layer", "pairs of weights that can saturate, %"]
    yield SATURATION.found(
        "info",
        f"{len(rows)} layers can saturate int16 on CPUs without VNNI",
        f"uint8 activations times int8 weights are added in pairs in 16 bits there; in "
        f"{rows[0][0]} {rows[0][1]} % of neighbouring weights exceed {INT16_MAX} with full "
        "activations.",
        "Deploy on a CPU with AVX-512 VNNI or AVX-VNNI, or quantize with `reduce_range=True` "
        "(7-bit weights), or with int8 activations.",
        layers=touched,
        evidence=[Evidence("table", "Layers at risk", {"columns": columns, "rows": rows[:30]})],
        confidence="medium",
    )


def saturating_share(graph: Graph, tensor: str) -> float:
    """Share of neighbouring weights that can overflow int16 in a u8 x s8 multiply-add.

    ``vpmaddubsw`` adds ``a0 w0 + a1 w1`` in 16 bits; with ``a`` up to 255 that saturates where two
    weights of the same sign exceed 32767 / 255 together.
    """
    codes = graph.constant(tensor)
    if codes is None or codes.dtype != np.int8 or codes.size < 2:
        return 0.0
    flat = codes.reshape(len(codes), -1).astype(np.int64) if codes.ndim > 1 else codes[None]
    even = flat[:, : flat.shape[1] // 2 * 2].reshape(-1, 2)
    if not len(even):
        return 0.0
    positive = np.maximum(even, 0).sum(axis=1)
    negative = np.minimum(even, 0).sum(axis=1)
    over = (UINT8_MAX * positive > INT16_MAX) | (UINT8_MAX * negative < -INT16_MAX - 1)
    return float(over.mean())


def _reads_uint8(graph: Graph, weight: str) -> bool:
    """Whether a product with this weight takes uint8 activations."""
    users = graph.consumer_nodes(weight)
    nodes: list[Node] = []
    for node in users:
        nodes += graph.consumer_nodes(node.outputs[0]) if node.op in DEQUANTIZE_OPS else [node]
    return any(_activation_type(graph, node) == "uint8" for node in nodes)


def _activation_type(graph: Graph, node: Node) -> str:
    maker = graph.producer.get(node.inputs[0])
    codes = maker.inputs[0] if maker is not None and maker.op in DEQUANTIZE_OPS else node.inputs[0]
    kind = graph.type_of(codes)
    if kind.elem_type == 0 and maker is not None and len(maker.inputs) > 2:
        return graph.type_of(maker.inputs[2]).dtype
    return kind.dtype


SATURATION = Check(KINDS["int16-saturation-risk"], _int16_saturation)
