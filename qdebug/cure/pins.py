"""Which units the user wants at the higher precision, by name (TPU-MLIR's ``fp_forward``)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from qdebug.cure.network import Network
from qdebug.cure.sites import Unit
from qdebug.errors import UsageError
from qdebug.graph.model import Graph, Node
from qdebug.graph.walk import walk


def pinned_units(
    network: Network,
    units: Sequence[Unit],
    *,
    keep: Iterable[str] = (),
    before: Iterable[str] = (),
    after: Iterable[str] = (),
    between: Iterable[str] = (),
) -> frozenset[int]:
    """Positions of the units whose values the named nodes of the float graph make.

    Args:
        network: the pair of graphs.
        units: of it.
        keep: nodes or tensors.
        before: nodes up to which everything counts.
        after: nodes from which on everything counts.
        between: ``A:B``, everything on a way from A to B.

    Raises:
        UsageError: a name is unknown, or nothing lies between two nodes.
    """
    graph = network.float_graph
    nodes = {_node(graph, name, "--keep").index for name in keep}
    for name in before:
        nodes |= _upstream(graph, _node(graph, name, "--before"))
    for name in after:
        nodes |= _downstream(graph, _node(graph, name, "--after"))
    for ends in between:
        nodes |= _between(graph, ends)
    if not nodes:
        return frozenset()
    tensors = {name for index in nodes for name in graph.nodes[index].outputs}
    found = {at for at, unit in enumerate(units) if _makes(network, unit, tensors)}
    if not found:
        raise UsageError(
            "none of the nodes named is quantized by itself",
            "name nodes whose result the quant model quantizes: qdebug compare lists them",
        )
    return frozenset(found)


def _makes(network: Network, unit: Unit, tensors: set[str]) -> bool:
    return any(network.sites[at].float_tensor in tensors for at in unit.sites)


def _node(graph: Graph, name: str, option: str) -> Node:
    for node in graph.nodes:
        if name == node.name or name in node.outputs:
            return node
    known = [node.label for node in graph.nodes]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "names are those of the float graph"
    raise UsageError(f"{option}: the float model has no node {name!r}", hint)


def _upstream(graph: Graph, node: Node) -> set[int]:
    return graph.ancestors(node.outputs)


def _downstream(graph: Graph, node: Node) -> set[int]:
    return {n.index for n in walk([node], lambda n: _readers(graph, n))}


def _readers(graph: Graph, node: Node) -> list[Node]:
    return [reader for name in node.outputs for reader in graph.readers.get(name, ())]


def _between(graph: Graph, ends: str) -> set[int]:
    first, colon, last = ends.rpartition(":")
    if not colon or not first or not last:
        raise UsageError(f"--between: {ends!r} is not A:B", "name two nodes of the float graph")
    start, stop = _node(graph, first, "--between"), _node(graph, last, "--between")
    found = _downstream(graph, start) & _upstream(graph, stop)
    if not found:
        raise UsageError(
            f"--between: no way leads from {first!r} to {last!r}", "exchange them, or choose others"
        )
    return found
