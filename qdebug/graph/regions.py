"""What each side computes between neighbouring pairs: the nodes that make a pair's tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property

import numpy as np

from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.operators import (
    DEQUANTIZE_OPS,
    FAKE_QUANTIZE_OPS,
    NEUTRAL,
    QUANTIZE_OPS,
)
from qdebug.graph.pairs import Pair
from qdebug.graph.parameters import Difference, Site, differences, meaning, told

_PLUMBING = QUANTIZE_OPS | DEQUANTIZE_OPS | FAKE_QUANTIZE_OPS | NEUTRAL
"""Nodes behind which a tensor still stands for the same value."""
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"})
_SCALED = (
    _ARITHMETIC
    | {f"{kind}Normalization" for kind in ("Layer", "RMS", "SimplifiedLayer", "Instance", "Group")}
    | {"PRelu"}
)
"""Operators with constants that are no weights of a product."""
_ROUNDED = 0.01
"""A single number quantized on its own keeps its value to a 127th, and to a 255th of a range."""
_OTHER = 0.2
"""Share of its largest value by which a constant of many values is another one: a step of four bits
is a seventh of it, rounded by half of that."""
FROZEN = "operands"
"""Parameter of a node that reads a constant in place of a value that follows from the inputs."""
OTHER_VALUES = "constants"
"""Parameter of a node with a constant of many values that are not the float graph's."""
_ORDERED = frozenset(
    ("Concat", "Sub", "Div", "Mod", "MatMul", "Gemm", "Einsum", "Where", "Pow", "BitShift")
) | {f"{kind}{equal}" for kind in ("Less", "Greater") for equal in ("", "OrEqual")}
"""Operators whose result depends on which operand stands where."""


@dataclass(frozen=True)
class Region:
    """The nodes that make one pair's tensor of the nearest pairs before it.

    Attributes:
        at: position of the pair.
        float_nodes: of the float graph, without what is constant, copies and casts.
        quant_nodes: of the quant graph, without quantizers as well.
        all_quant_nodes: indices of all nodes of the quant graph that the tensor takes, to be run.
        float_sources: positions of the pairs that the float nodes read.
        quant_sources: positions of the pairs that the quant nodes read.
    """

    at: int
    float_nodes: tuple[Node, ...]
    quant_nodes: tuple[Node, ...]
    all_quant_nodes: frozenset[int] = field(repr=False)
    float_sources: frozenset[int]
    quant_sources: frozenset[int]

    @property
    def is_single(self) -> bool:
        """Whether both sides compute it with one operator."""
        return len(self.float_nodes) == len(self.quant_nodes) == 1


@dataclass(frozen=True)
class Comparison:
    """What differs between the two sides of a region.

    Attributes:
        differences: parameters that differ, by float node.
        missing: float nodes that the quant graph has nothing for.
        added: quant nodes that the float graph has nothing for.
    """

    differences: tuple[tuple[Node, Difference], ...]
    missing: tuple[Node, ...]
    added: tuple[Node, ...]


class Regions:
    """The regions of all pairs.

    Args:
        float_graph: the reference.
        quant_graph: its twin.
        pairs: in execution order of the float graph.
        float_types: types of the float graph's tensors beyond what it declares.
        quant_types: the same for the quant graph.
    """

    def __init__(
        self,
        float_graph: Graph,
        quant_graph: Graph,
        pairs: Sequence[Pair],
        float_types: Mapping[str, TensorType],
        quant_types: Mapping[str, TensorType],
    ) -> None:
        self.float_graph, self.quant_graph, self.pairs = float_graph, quant_graph, pairs
        self.float_types, self.quant_types = float_types, quant_types
        self.float_constants, self.quant_constants = Constants(float_graph), Constants(quant_graph)
        self._of_float = {pair.float_tensor: at for at, pair in enumerate(pairs)}

    @cached_property
    def of_raw(self) -> dict[str, int]:
        """Raw quant tensor to the pair that it is fed through; graph inputs included."""
        return {pair.raw: at for at, pair in enumerate(self.pairs)}

    def region(self, at: int) -> Region:
        """The region of one pair."""
        pair = self.pairs[at]
        floats, float_reads = self._between(self.float_graph, pair.float_tensor, self._of_float)
        quants, quant_reads = self._between(self.quant_graph, pair.raw, self.of_raw)
        return Region(
            at,
            tuple(n for n in floats if self._computes(n, self.float_constants)),
            tuple(n for n in quants if self._computes(n, self.quant_constants)),
            frozenset(node.index for node in quants),
            frozenset(float_reads),
            frozenset(quant_reads),
        )

    def _between(
        self, graph: Graph, tensor: str, ends: Mapping[str, int]
    ) -> tuple[list[Node], set[int]]:
        """Nodes that lead to a tensor from the nearest known ones, and the positions of these."""
        maker = graph.producer.get(tensor)
        if maker is None:
            return [], set()
        chosen = {maker.index} | graph.ancestors(maker.reads, ends)
        nodes = [graph.nodes[index] for index in sorted(chosen)]
        return nodes, {ends[name] for node in nodes for name in node.reads if name in ends}

    def _computes(self, node: Node, constants: Constants) -> bool:
        if node.op in _PLUMBING or all(o in constants for o in node.outputs):
            return False
        return node.op != "Cast" or not self._is_float(node)

    def _is_float(self, node: Node) -> bool:
        return node.attributes.get("to") in (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16

    def compare(self, region: Region) -> Comparison:
        """Hold the operators of both sides against each other, in the order of execution.

        What one side has folded into a neighbour is no difference: an activation into the
        quantizer behind it, a normalization into weights, padding into a convolution.
        """
        lefts, rights = list(region.float_nodes), list(region.quant_nodes)
        kinds = (
            [self._kind(n, quant=False) for n in lefts],
            [self._kind(n, quant=True) for n in rights],
        )
        found: list[tuple[Node, Difference]] = []
        missing: list[Node] = []
        added: list[Node] = []
        for tag, i, k, j, m in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
            if tag == "equal":
                for left, right in zip(lefts[i:k], rights[j:m], strict=True):
                    found += [(left, d) for d in self.between(left, right)]
                continue
            if tag == "replace" and k - i == m - j == 1:
                found += [(lefts[i], d) for d in self.between(lefts[i], rights[j])]
            missing += lefts[i:k]
            added += rights[j:m]
        gone = [n for n in missing if not self._is_folded(n, region)]
        if any(n.op == "Pad" for n in [*missing, *added]):
            found = [(n, d) for n, d in found if d.parameter != "pads"]
        return Comparison(tuple(found), tuple(gone), tuple(added))

    def between(self, left: Node, right: Node) -> list[Difference]:
        """Parameters, operands and constants in which two nodes differ."""
        found = differences(*self._sites(left, right))
        found += self._order(left, right) or self._frozen(left, right)
        turned = [d for d in found if d.parameter in ("transA", "transB")]
        if turned and not self._is_stored_alike(left, right):
            found = [d for d in found if d not in turned]
        return found or self._constant(left, right)

    def _is_stored_alike(self, left: Node, right: Node) -> bool:
        """Whether a square weight is stored the same way round in both graphs."""
        a = self.float_constants.value(left.inputs[1])
        b = self.quant_constants.value(right.inputs[1])
        if a is None or b is None or a.shape != b.shape or a.ndim != 2:
            return False
        straight, turned = (float(np.square(b - v).sum()) for v in (a, a.T))
        return straight < turned

    def _constant(self, left: Node, right: Node) -> list[Difference]:
        """What one node adds, multiplies by, and so on, and another constant in the other.

        One of many values is compared where it is laid out the same way on both sides.
        """
        pairs = zip(left.inputs, right.inputs, strict=False)
        for mine, theirs in pairs if left.op in _SCALED and right.op == left.op else ():
            a, b = self.float_constants.value(mine), self.quant_constants.value(theirs)
            if a is None or b is None or (a.shape != b.shape and not a.size == b.size == 1):
                continue
            largest = max(float(np.abs(v).max(initial=0.0)) for v in (a, b))
            slack = _ROUNDED if a.size == 1 else _OTHER
            if float(np.abs(a - b.reshape(a.shape)).max(initial=0.0)) > slack * largest:
                return [_told_apart(a, b)]
        return []

    def _is_folded(self, node: Node, region: Region) -> bool:
        """Whether a float node without counterpart may be part of what is there."""
        if node.op in ("BatchNormalization", "Pad"):
            return True
        meant = meaning(Site(node, self.float_graph, self.float_constants, self.float_types))
        quantizer = self.pairs[region.at].quantizer
        if meant.kind != "Clip" or quantizer is None:
            return False
        low, high = quantizer.real_range
        slack = _ROUNDED * (high - low)
        ends = meant.parameters["min"], meant.parameters["max"]
        above = ends[0] is None or low >= ends[0] - slack
        return above and (ends[1] is None or high <= ends[1] + slack)

    def _sites(self, left: Node, right: Node) -> tuple[Site, Site]:
        perm = self._perm_before(right)
        return (
            Site(left, self.float_graph, self.float_constants, self.float_types),
            Site(right, self.quant_graph, self.quant_constants, self.quant_types, perm),
        )

    def _perm_before(self, right: Node) -> tuple[int, ...] | None:
        for name in right.inputs:
            at = self.quant_source(name)
            if at is not None:
                return self.pairs[at].raw_form.perm
        return None

    def quant_source(self, tensor: str) -> int | None:
        """The pair that a quant tensor holds the value of, behind quantizers and copies."""
        while tensor not in self.of_raw:
            node = self.quant_graph.producer.get(tensor)
            passes = node is not None and (node.op in _PLUMBING or node.op == "Cast")
            if node is None or not passes:
                return None
            tensor = node.inputs[0]
        return self.of_raw[tensor]

    def position(self, tensor: str) -> int | None:
        """The pair of a float tensor."""
        return self._of_float.get(tensor)

    def float_source(self, tensor: str) -> int | None:
        """The pair that a float tensor belongs to, behind copies."""
        while tensor not in self._of_float:
            node = self.float_graph.producer.get(tensor)
            if node is None or node.op not in NEUTRAL:
                return None
            tensor = node.inputs[0]
        return self._of_float[tensor]

    def _order(self, left: Node, right: Node) -> list[Difference]:
        """Whether both read the same pairs in the same order, where the order matters."""
        mine, theirs = self.operands(left, right)
        if all(self._same(a, b) for a, b in zip(mine, theirs, strict=True)):
            return []
        return [Difference("inputs", self._names(mine), self._names(theirs))]

    def operands(self, left: Node, right: Node) -> tuple[list[int], list[int]]:
        """Positions of the pairs that two nodes read, where it matters in which order they do.

        Returns:
            Those of the float node and of the quant node, as many; none where one is not known.
        """
        if left.op not in _ORDERED:
            return [], []
        mine = [self.float_source(n) for n in left.inputs if n not in self.float_constants]
        slots = _value_slots(right)
        names = [right.inputs[s] for s in slots if s < len(right.inputs)]
        theirs = [self.quant_source(n) for n in names if n not in self.quant_constants]
        known = [at for at in mine if at is not None], [at for at in theirs if at is not None]
        if not len(known[0]) == len(mine) == len(theirs) == len(known[1]):
            return [], []
        return known

    def _frozen(self, left: Node, right: Node) -> list[Difference]:
        """Operands that follow from the graph's inputs on the float side and are constants here.

        The others have to be the same pairs: then the two nodes are one, whatever their names.
        """
        if left.op not in _ORDERED | _ARITHMETIC:
            return []
        names = [right.inputs[s] for s in _value_slots(right) if s < len(right.inputs)]
        mine = [n for n in left.inputs if n not in self.float_constants]
        theirs = [self.quant_source(n) for n in names if n not in self.quant_constants]
        if len(left.inputs) != len(names) or not 0 < len(theirs) < len(mine):
            return []
        rest = [self.float_source(n) for n in mine]
        for at in theirs:
            known = (i for i in rest if i is not None and at is not None and self._same(i, at))
            twin = next(known, None)
            if twin is None:
                return []
            rest.remove(twin)
        told_here = ["a constant" if n in self.quant_constants else self._name(n) for n in names]
        return [Difference(FROZEN, ", ".join(left.inputs), ", ".join(told_here))]

    def _name(self, tensor: str) -> str:
        """What the float graph calls a tensor of the quant graph, where that is known."""
        at = self.quant_source(tensor)
        return tensor if at is None else self.pairs[at].float_tensor

    def _same(self, left: int, right: int) -> bool:
        """Whether two positions stand for one value: several float tensors may share a raw one."""
        return left == right or self.pairs[left].raw == self.pairs[right].raw

    def _names(self, positions: Sequence[int]) -> str:
        return ", ".join(self.pairs[at].float_tensor for at in positions)

    def _kind(self, node: Node, *, quant: bool) -> str:
        if quant:
            return meaning(
                Site(node, self.quant_graph, self.quant_constants, self.quant_types)
            ).kind
        return meaning(Site(node, self.float_graph, self.float_constants, self.float_types)).kind


def _told_apart(a: np.ndarray, b: np.ndarray) -> Difference:
    """Two constants in words: a number, or how many values of what range."""
    if a.size == 1:
        return Difference("constant", *(told(float(v.reshape(()))) for v in (a, b)))
    ends = [(float(v.min()), float(v.max())) for v in (a, b)]
    told_here = [f"{low:.3g}..{high:.3g} ({a.size} values)" for low, high in ends]
    alike = np.allclose(ends[0], ends[1], rtol=0, atol=_ROUNDED * float(np.abs(ends).max()))
    return Difference(OTHER_VALUES, told_here[0], f"{'others in ' * alike}{told_here[1]}")


def _value_slots(node: Node) -> Sequence[int]:
    """Slots of a node's operands, without the scales and zero points of integer operators."""
    if node.op == "QLinearConcat":
        return range(2, len(node.inputs), 3)
    if node.op in ("QLinearMatMul", "QLinearAdd", "QLinearMul", "QGemm"):
        return (0, 3)
    return range(len(node.inputs))
