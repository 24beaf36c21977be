"""Where values go: layers by tensor and by node, and what is downstream of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qdebug.checks.context import CheckContext
from qdebug.graph.operators import MOVES_VALUES
from qdebug.graph.walk import walk
from qdebug.run.model import Layer

_FOLLOWERS = 3
"""Nodes that may stand between a product and the layer that stands for it: a bias, a normalization
and an activation, which the quant graph may hold in one node."""


def positions_by_tensor(context: CheckContext) -> dict[str, int]:
    """Float tensor to the position of its layer."""
    return {layer.pair.float_tensor: layer.at for layer in context.joined}


def node_index(context: CheckContext, at: int) -> int:
    """Index of the float node that makes a layer's tensor; -1 for a model input."""
    node = context.float_graph.producer.get(context.layers[at].float_tensor)
    return -1 if node is None else node.index


def layers_of_nodes(context: CheckContext) -> dict[int, int]:
    """Float node index to the layer that stands for its result, activation included."""
    found: dict[int, int] = {}
    known = context.once(positions_by_tensor)
    for pair in context.pairing.weights:
        tensor = context.float_graph.nodes[pair.node].outputs[0]
        for _ in range(1 + _FOLLOWERS):
            if tensor in known:
                found[pair.node] = known[tensor]
                break
            users = context.float_graph.consumer_nodes(tensor)
            if len(users) != 1:
                break
            tensor = users[0].outputs[0]
    return found


def downstream(layers: Sequence[Layer], start: Iterable[int]) -> set[int]:
    """These layers and all that their values reach."""
    return set(walk(start, lambda at: layers[at].outputs))


def moved_from(context: CheckContext, tensor: str) -> list[str]:
    """The tensor, and what operators that only move values make of it, in execution order."""

    def onward(moved: str) -> list[str]:
        nodes = context.float_graph.consumer_nodes(moved)
        return [name for node in nodes if node.op in MOVES_VALUES for name in node.outputs if name]

    return list(walk([tensor], onward))
