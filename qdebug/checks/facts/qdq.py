"""Q and DQ nodes of one tensor that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdebug.checks.context import CheckContext
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import BETWEEN_Q_AND_DQ, DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import linear_quantizer
from qdebug.graph.walk import walk

SAME = 0.01
"""Scales of one tensor that differ by a larger share are not one number rounded twice: float16, the
coarsest type of a scale, rounds by 0.0005. By judgement."""
"""Operators between Q and DQ that leave the codes' meaning alone."""


@dataclass(frozen=True)
class QdqMismatch:
    """A DQ that reads codes with other parameters than the Q wrote them with.

    Attributes:
        quantize: the Q node.
        dequantize: the DQ node.
        written: parameters of the first.
        read: parameters of the second.
    """

    quantize: Node
    dequantize: Node
    written: Quantizer
    read: Quantizer


def mismatches(context: CheckContext) -> list[QdqMismatch]:
    """Every Q and DQ of one tensor that disagree in scale or zero point."""
    return list(_mismatches(context.quant_graph))


def _mismatches(graph: Graph) -> Iterator[QdqMismatch]:
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
                yield QdqMismatch(node, reader, written, read)


def misread_factors(context: CheckContext) -> list[float]:
    """Factors by which values come out of a DQ that disagrees with its Q, of one scale each."""
    scales = [(item.written.scale, item.read.scale) for item in context.once(mismatches)]
    single = [(a.item(), b.item()) for a, b in scales if a.size == b.size == 1]
    return [b / a for a, b in single if 0 < a < np.inf and 0 < b < np.inf]


def mismatched(context: CheckContext) -> set[int]:
    """Layers whose Q and DQ disagree: they have no one range."""
    raw = {item.quantize.inputs[0] for item in context.once(mismatches)}
    return {layer.at for layer in context.joined if layer.pair.raw in raw}


def _readers(graph: Graph, codes: str) -> Iterator[Node]:
    """``DequantizeLinear`` nodes that read the codes, moved or pooled perhaps."""

    def onward(tensor: str) -> list[str]:
        nodes = graph.consumer_nodes(tensor)
        return [node.outputs[0] for node in nodes if node.op in BETWEEN_Q_AND_DQ]

    for tensor in walk([codes], onward):
        yield from (n for n in graph.consumer_nodes(tensor) if n.op in DEQUANTIZE_OPS)


def _differ(written: Quantizer, read: Quantizer) -> bool:
    if written.scale.shape != read.scale.shape:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = read.scale.astype(np.float64) / written.scale
    scales = bool((np.abs(ratio - 1) > SAME).any())
    return scales or bool((written.zero_point != read.zero_point).any())
