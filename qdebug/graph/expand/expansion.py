"""What expanding gives: the QDQ graph, and where each tensor of codes is found in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DYNAMIC_OPS, OPS_ON_CODES
from qdebug.graph.pairs import Pair, Pairing, TensorForm

_ON_CODES = OPS_ON_CODES - {"AscendDequant"}  # that one turns sums of codes into real numbers


@dataclass(frozen=True)
class Expansion:
    """A graph without operators on codes, and its tensors' places.

    Every tensor of the original graph keeps its name, codes included.

    Attributes:
        original: the graph as it is in its file.
        graph: the QDQ graph; ``graph.proto`` is the model. It is the original where that has no
            operator on codes.
        real: tensor of codes to the real numbers that its ``QuantizeLinear`` reads.
        read: tensor of codes to what its ``DequantizeLinear`` gives.
        left: labels of nodes on codes that have no float form here, and stay as they are.
    """

    original: Graph
    graph: Graph
    real: Mapping[str, str]
    read: Mapping[str, str]
    left: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether anything was expanded."""
        return self.graph is not self.original

    @property
    def notes(self) -> tuple[str, ...]:
        """What stays in codes, and is therefore judged by its result alone."""
        found = []
        kept = [n for n in self.graph.nodes if n.op in _ON_CODES or n.op.startswith("QLinear")]
        if kept:
            found.append(
                f"{_counted(kept)} on codes cannot be written as QDQ: ranges and operators inside "
                "are not judged, nor what undoing them would win"
            )
        dynamic = [n for n in self.graph.nodes if n.op in DYNAMIC_OPS]
        if dynamic:
            found.append(
                f"{_counted(dynamic)}: the scales of their inputs are found while running, so that "
                "no range is judged there, nor what another one or float would win"
            )
        return tuple(found)

    def pairing(self, pairing: Pairing) -> Pairing:
        """A pairing with the original graph as one with the expanded graph, pair by pair."""
        if not self.is_changed:
            return pairing
        return replace(pairing, pairs=tuple(self.pair(pair) for pair in pairing.pairs))

    def pair(self, pair: Pair) -> Pair:
        """The pair at its place in the expanded graph.

        Where a pair held codes, ``raw`` becomes the real numbers before them, ``read`` those behind
        them, and the path leads through the quantizer.
        """
        path = [self._moved(index) for index in pair.path]
        raw, raw_form = pair.raw, pair.raw_form
        if raw_form.quantizer is not None and raw in self.real:
            path.insert(0, self.graph.producer[raw].index)
            raw, raw_form = self.real[raw], _without_codes(raw_form)
        read, read_form = pair.read, pair.read_form
        if read_form.quantizer is not None and read in self.read:
            read, read_form = self.read[read], _without_codes(read_form)
            path.append(self.graph.producer[read].index)
        return replace(
            pair, raw=raw, read=read, path=tuple(path), raw_form=raw_form, read_form=read_form
        )

    def _moved(self, index: int) -> int:
        """Where a node that was not expanded stands now."""
        node = self.original.nodes[index]
        return self.graph.producer[next(name for name in node.outputs if name)].index


def _counted(nodes: Sequence[Node]) -> str:
    """How many nodes of which operators, for people to read."""
    return ", ".join(f"{n} {op}" for op, n in sorted(Counter(node.op for node in nodes).items()))


def _without_codes(form: TensorForm) -> TensorForm:
    return replace(form, quantizer=None)
