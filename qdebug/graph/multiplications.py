"""What a network costs: multiplications of its products."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.graph.model import Graph, Node


def multiplications(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[int, float]:
    """Multiplications by node index, for products; 0 where a shape is not known."""
    return {node.index: _macs(node, shapes) for node in graph.nodes if node.op in _PRODUCTS}


_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def _macs(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> float:
    out = shapes.get(node.outputs[0])
    first, second = shapes.get(node.inputs[0]), shapes.get(node.inputs[1])
    if out is None or first is None or second is None:
        return 0.0
    if node.op == "Conv":
        return float(np.prod(out) * np.prod(second[1:]))
    if node.op == "ConvTranspose":
        return float(np.prod(first) * np.prod(second[1:]))
    inner = first[0] if node.op == "Gemm" and node.attributes.get("transA", 0) else first[-1]
    return float(np.prod(out) * inner)
