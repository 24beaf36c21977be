"""Norms, GELUs and Softmaxes that are computed in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.reach import positions_by_tensor
from qdebug.graph.model import Graph, Node


@dataclass(frozen=True)
class NormGroup:
    """The nodes of one decomposed operator.

    Attributes:
        kind: ``LayerNorm``, ``RMSNorm``, ``GELU`` or ``Softmax``.
        nodes: in execution order.
    """

    kind: str
    nodes: tuple[Node, ...]


def norm_groups(graph: Graph) -> list[NormGroup]:
    """Decomposed norms, GELUs and Softmaxes of a graph."""
    found = []
    for node in graph.nodes:
        if node.op == "Sqrt":
            group = _norm(graph, node)
        elif node.op == "Erf":
            group = _gelu(graph, node)
        elif node.op == "ReduceSum":
            group = _softmax(graph, node)
        else:
            group = None
        if group is not None:
            found.append(group)
    return found


def _norm(graph: Graph, root: Node) -> NormGroup | None:
    """From the root up to what is squared, and down to the affine part."""
    add = graph.producer.get(root.inputs[0])
    mean = _made_by(graph, add, ("ReduceMean",))
    square = _made_by(graph, mean, ("Pow", "Mul"))
    if add is None or mean is None or square is None or add.op != "Add":
        return None
    nodes = [square, mean, add, root]
    centred = graph.producer.get(square.inputs[0])
    first_mean = _made_by(graph, centred, ("ReduceMean",))
    is_layer_norm = centred is not None and centred.op == "Sub" and first_mean is not None
    if is_layer_norm and centred is not None and first_mean is not None:
        nodes += [first_mean, centred]
    nodes += _followers(graph, root, ("Div", "Reciprocal", "Mul", "Add"), 3)
    return _group("LayerNorm" if is_layer_norm else "RMSNorm", nodes)


def _gelu(graph: Graph, erf: Node) -> NormGroup | None:
    nodes = [erf]
    before = graph.producer.get(erf.inputs[0])
    if before is not None and before.op in ("Div", "Mul"):
        nodes.append(before)
    nodes += _followers(graph, erf, ("Add", "Mul", "Mul"), 3)
    return _group("GELU", nodes) if len(nodes) > 3 else None


def _softmax(graph: Graph, total: Node) -> NormGroup | None:
    exp = graph.producer.get(total.inputs[0])
    divided = [n for n in graph.consumer_nodes(total.outputs[0]) if n.op == "Div"]
    if exp is None or exp.op != "Exp" or not divided:
        return None
    nodes = [exp, total, divided[0]]
    shifted = graph.producer.get(exp.inputs[0])
    if shifted is not None and shifted.op == "Sub":
        nodes.append(shifted)
    return _group("Softmax", nodes)


def _group(kind: str, nodes: Sequence[Node]) -> NormGroup:
    unique = {node.index: node for node in nodes}
    return NormGroup(kind, tuple(unique[index] for index in sorted(unique)))


def _made_by(graph: Graph, node: Node | None, ops: Sequence[str]) -> Node | None:
    """The node of one of these operators that makes an input of a node."""
    for name in node.inputs if node is not None else ():
        maker = graph.producer.get(name)
        if maker is not None and maker.op in ops:
            return maker
    return None


def _followers(graph: Graph, node: Node, ops: Sequence[str], most: int) -> list[Node]:
    """The chain of single consumers, while they are of these operators."""
    found: list[Node] = []
    for _ in range(most):
        users = graph.consumer_nodes(node.outputs[0])
        if len(users) != 1 or users[0].op not in ops:
            break
        node = users[0]
        found.append(node)
    return found


def _quantized(context: CheckContext, nodes: Sequence[Node]) -> list[int]:
    """Layers of these nodes; none where no value between two of them is quantized."""
    known = context.once(positions_by_tensor)
    at = [known[n.outputs[0]] for n in nodes if n.outputs[0] in known]
    inner = [known[n.outputs[0]] for n in nodes[:-1] if n.outputs[0] in known]
    return at if any(context.layer(i).range is not None for i in inner) else []


def quantized_norms(context: CheckContext) -> list[tuple[NormGroup, list[int]]]:
    """Groups with a quantized value between their nodes, each with its layers."""
    groups = [(g, _quantized(context, g.nodes)) for g in norm_groups(context.float_graph)]
    return [(group, at) for group, at in groups if at]


def norm_layers(context: CheckContext) -> list[int]:
    """Layers of all of ``quantized_norms``."""
    return sorted({at for _, layers in context.once(quantized_norms) for at in layers})
