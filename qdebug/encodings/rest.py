"""What becomes of the tensors that no entry speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx

from qdebug.encodings.placing import Placement, fused_into
from qdebug.encodings.rules import Rules
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import KEEPS_CODES


@dataclass(frozen=True)
class Rest:
    """A tensor without an entry in use.

    Attributes:
        tensor: its name in the graph that the twin was made of.
        reason: what the toolchain does there.
    """

    tensor: str
    reason: str


def left_over(graph: Graph, placements: Sequence[Placement], rules: Rules) -> tuple[Rest, ...]:
    """Say of each computed float tensor without an entry what the toolchain does with it."""
    used = [item for item in placements if item.is_used]
    quantized = {p.target for p in used if p.entry.kind == "tensor" and p.entry.encoding.is_linear}
    in_float = {p.target for p in used if p.entry.kind == "node" and p.entry.encoding.is_float}
    coded = set(quantized)
    found = []
    for node in graph.nodes:
        for tensor in filter(None, node.outputs):
            kind = graph.type_of(tensor)
            if kind.elem_type not in (0, onnx.TensorProto.FLOAT) or node.op == "Constant":
                continue
            if tensor not in quantized:
                found.append(Rest(tensor, _reason(graph, node, tensor, rules, coded, in_float)))
    return tuple(found)


def _reason(
    graph: Graph,
    node: Node,
    tensor: str,
    rules: Rules,
    coded: set[str | None],
    in_float: Iterable[str | None],
) -> str:
    after = fused_into(graph, rules, tensor)
    if after is not None:
        return f"is never written: {after} is computed with what is before it"
    if node.label in in_float:
        return "stays float, as the file says of its node"
    if node.op in KEEPS_CODES and node.inputs and node.inputs[0] in coded:
        coded.add(tensor)
        return "keeps the codes of what it is made of"
    return rules.rest
