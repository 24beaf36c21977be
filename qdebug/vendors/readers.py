"""Entries for what a node reads, where a toolchain speaks of nodes."""

from __future__ import annotations

from qdebug.encodings.model import Encoding, Entry
from qdebug.graph.model import Graph, Node

NO_NODE = "no node has that name"
NO_INPUT = "its node has no such input"


class Reads:
    """The nodes of a float graph by name, and what they read.

    Args:
        graph: the float graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._nodes = {node.label: node for node in graph.nodes}

    def node(self, name: str) -> Node | None:
        """The node of a name, or the one that makes a tensor of that name."""
        return self._nodes.get(name) or self.graph.producer.get(name)

    def fed(self, name: str, slot: int, encoding: Encoding, line: int | None) -> Entry:
        """An entry for a computed input of a node, read by that node only."""
        node = self.node(name)
        if node is None:
            return Entry(name, encoding, line=line, homeless=NO_NODE)
        computed = [x for x in node.inputs if x and not self.graph.is_constant(x)]
        if slot >= len(computed):
            return Entry(f"{name}:{slot}", encoding, line=line, homeless=NO_INPUT)
        return Entry(computed[slot], encoding, readers=(node.label,), line=line)

    def weight(self, name: str, encoding: Encoding, line: int | None) -> Entry:
        """An entry for the weight of a node."""
        node = self.node(name)
        if node is None:
            return Entry(name, encoding, "weight", line=line, homeless=NO_NODE)
        if len(node.inputs) < 2 or not self.graph.is_constant(node.inputs[1]):
            return Entry(name, encoding, "weight", line=line, homeless="its node has no weight")
        return Entry(node.inputs[1], encoding, "weight", line=line)


def once(entries: list[Entry]) -> list[Entry]:
    """Entries without those that repeat another, as shared weights have them."""
    kept: list[Entry] = []
    for entry in entries:
        twin = next(
            (
                x
                for x in kept
                if (x.kind, x.name, x.readers) == (entry.kind, entry.name, entry.readers)
            ),
            None,
        )
        if twin is None or twin.encoding != entry.encoding:
            kept.append(entry)
    return kept
