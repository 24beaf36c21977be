"""What readers of toolchains' files share: entries for what a node reads, and files to refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.source import Source
from qdebug.graph.model import Graph, Node
from qdebug.vendors.encodings import Beside

NO_NODE = "no node has that name"
NO_INPUT = "its node has no such input"
_ACUITY_ROW = re.compile(r"^\s+'?\"?@\S.*:out\d+['\"]?:", re.MULTILINE)
_YAML_LINE = "%YAML"
"""RKNN-Toolkit 1, which was made of ACUITY, begins its cfg with it."""


def is_acuity(source: Source) -> bool:
    """Whether a file is ACUITY's ``.quantize``, and not the cfg of RKNN-Toolkit 1 made like it."""
    text = source.text or ""
    return bool(_ACUITY_ROW.search(text)) and not text.startswith(_YAML_LINE)


def without_ranges(what: str, hint: str) -> Callable[[Source, Beside], Encodings]:
    """A reader that refuses a file which is known and does not say how tensors are quantized.

    Args:
        what: the file says: ``says which layers stay in float``.
        hint: what to give, and where this file goes.
    """

    def refuse(source: Source, beside: Beside) -> NoReturn:
        del beside
        raise source.fault(f"it {what}, and no ranges", hint=hint)

    return refuse


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
