"""Encodings of a quantized graph in the names of its float graph, found by structure.

Quantizers rename: where names do not tell, pairing does, which knows the two graphs' tensors by
their weights and by what is around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qdebug.encodings.application import BEFORE
from qdebug.encodings.extraction import CODES, extract_encodings
from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.graph.model import Graph, Node
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pair, Pairing
from qdebug.graph.walk import walk

_FAR = 4
"""Operations between a reader and what it was fused into, at most; by judgement."""


def encodings_in_float_names(
    quant_graph: Graph, float_graph: Graph, pairing: Pairing | None = None
) -> Encodings:
    """Read how a graph is quantized, in the names of the float graph it was made from.

    Args:
        quant_graph: of QDQ or QOperator form.
        float_graph: the reference.
        pairing: of the two; made here without values where it is not given.

    Returns:
        Entries without a counterpart keep their names.
    """
    found = extract_encodings(quant_graph)
    pairing = pairing or pair_graphs(float_graph, quant_graph)
    names = _Counterparts(quant_graph, float_graph, pairing)
    return replace(found, entries=tuple(_once(names.of(entry) for entry in found.entries)))


class _Counterparts:
    """Float tensors and nodes by what stands for them in the quant graph."""

    def __init__(self, quant_graph: Graph, float_graph: Graph, pairing: Pairing) -> None:
        self.quant_graph, self.float_graph = quant_graph, float_graph
        self.pairs: dict[str, Pair] = {}
        # Of several float tensors that share a quant tensor: that of its name, else the last one,
        # whose value it is: what is before was folded.
        for pair in pairing.pairs:
            for name in (pair.raw, pair.read, *pair.aliases):
                known = self.pairs.get(_plain(name))
                if known is None or known.float_tensor != _plain(name):
                    self.pairs[_plain(name)] = pair
        # Weights that a normalization went into are those of the simplified graph: names tell them.
        folded = {w.node for w in pairing.weights if w.folded is not None}
        self.weights = {
            _plain(w.quant_tensor): w.float_tensor for w in pairing.weights if w.node not in folded
        }

    def of(self, entry: Entry) -> Entry:
        """An entry in the float graph's names; as it is where it has no counterpart."""
        if entry.kind == "weight":
            known = self.float_graph.is_constant(_plain(entry.name))
            name = None if known else self.weights.get(_plain(entry.name))
            return entry if name is None else replace(entry, name=name, encoding=_auto(entry))
        pair = self.pairs.get(_plain(entry.name))
        if pair is None or (pair.raw_form.perm is not None and entry.encoding.axis is not None):
            return entry
        readers = tuple(dict.fromkeys(self._readers(entry, pair.float_tensor)))
        return replace(entry, name=pair.float_tensor, readers=readers)

    def _readers(self, entry: Entry, tensor: str) -> Iterator[str]:
        for label in entry.readers:
            node = next((n for n in self.quant_graph.nodes if n.label == label), None)
            made = self.pairs.get(_plain(node.outputs[0])) if node is not None else None
            if made is not None:
                yield from self._leading(tensor, made.float_tensor)

    def _leading(self, tensor: str, result: str) -> Iterator[str]:
        """Readers of a float tensor from which another one is made a few steps on."""
        for reader in self.float_graph.readers.get(tensor, ()):
            if result in _reached(self.float_graph, reader):
                yield reader.label


def _reached(graph: Graph, node: Node) -> set[str]:
    """Tensors that follow from a node within a few operations."""
    near = dict.fromkeys(node.outputs, 0)

    def onward(tensor: str) -> list[str]:
        if near[tensor] >= _FAR:
            return []
        made = [out for reader in graph.readers.get(tensor, ()) for out in reader.outputs]
        for out in made:
            near.setdefault(out, near[tensor] + 1)
        return made

    return set(walk(filter(None, node.outputs), onward))


def _auto(entry: Entry) -> Encoding:
    """The encoding of a weight whose layout may have changed: its scales are of output channels."""
    encoding = entry.encoding
    many = encoding.scale is not None and encoding.scale.ndim == 1 and encoding.dtype != "int32"
    return replace(encoding, axis=None) if many and not encoding.block_size else encoding


def _plain(name: str) -> str:
    """A tensor's name without what quantizers append to it."""
    return name.removesuffix(BEFORE).removesuffix(CODES)


def _once(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Entries without repetitions: several quant tensors may stand for one float tensor."""
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for entry in entries:
        key = (entry.kind, entry.name, entry.readers)
        if key not in seen:
            seen.add(key)
            yield entry
