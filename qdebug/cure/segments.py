"""The reverse pass cut into segments, so that a few of them never hold a whole network.

The forward pass keeps only what crosses from one segment into a later one. Then each segment, the
last one first, is run again together with its reverse: it is given those tensors, and the gradients
at what it hands on, and gives the gradients inside and at what it was given. Whatever the size of
the network, one segment's tensors and the crossing ones are held at a time, for one more forward
pass ("Training deep nets with sublinear memory cost", Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
from onnx import numpy_helper

from qdebug.capture.parts import Tap, side_part
from qdebug.capture.plan import Schedule, schedule
from qdebug.cure.reverse import NOT_FLOAT, NOWHERE, Reverse, reverse_graph
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import TensorForm
from qdebug.graph.rewrite import PartBuilder

Beside = Callable[[Sequence[str]], Collection[str]]
"""Told which tensors a segment makes: which others are wanted together with these."""

MOST = 16
"""Segments, about: with more of them, what crosses and is held all along weighs more than what
smaller ones save. Ranking the layers of the text detector at 640 pixels takes 700 MiB in pieces of
8 MiB, 520 in such of 16, 400 in such of 32, 550 in such of 64."""
_FLOAT = onnx.TensorProto.FLOAT
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Segment:
    """Consecutive nodes with their reverse.

    Attributes:
        reverse: of these nodes: gradients at the tensors asked for that they make, and at what they
            read of earlier segments.
        made: tensors asked for that they make.
        shown: outputs of the whole network's loss that they make.
    """

    reverse: Reverse
    made: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def back(self) -> dict[str, str]:
        """Tensors of earlier segments to the output that holds the gradient by them."""
        return {t: name for t, name in self.reverse.gradients.items() if t not in self.made}


@dataclass(frozen=True)
class Segmented:
    """A network and its reverse pass in segments.

    Attributes:
        forward: the float graph with what crosses between segments as its outputs; None where
            there is one segment.
        crossing: these tensors.
        segments: in execution order.
        unreached: tensor asked for to one sentence that says why there is no gradient.
    """

    forward: onnx.ModelProto | None
    crossing: tuple[str, ...]
    segments: tuple[Segment, ...]
    unreached: Mapping[str, str]


def segmented(
    graph: Graph,
    types: Mapping[str, TensorType],
    at: Collection[str],
    outputs: Sequence[str],
    most: int,
    beside: Beside = lambda _: (),
) -> Segmented:
    """Cut a network into segments and add the reverse pass to each.

    Args:
        graph: the float graph.
        types: of its tensors, for the inputs that it will be run with.
        at: tensors to give the gradient of the loss by.
        outputs: tensors that the loss is a function of.
        most: bytes of a segment's own tensors; a node that makes more is a segment of its own. No
            less than a part in `MOST` of all.
        beside: tensors that cross to a segment besides what its nodes read.
    """
    return _Cutting(graph, types, list(at), list(outputs)).cut(most, beside)


class _Cutting:
    def __init__(
        self,
        graph: Graph,
        types: Mapping[str, TensorType],
        at: list[str],
        outputs: list[str],
    ) -> None:
        self.graph, self.types, self.at, self.outputs = graph, types, at, outputs
        self.shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
        needed = sorted(graph.ancestors([*at, *outputs]))
        self.targets = [[n for n in graph.nodes[index].outputs if n] for index in needed]
        self.plan: Schedule = schedule(graph, self.targets)
        self.known = Constants(self._typed())
        self.unreached: dict[str, str] = {}
        self._open: set[str] = set(outputs)
        self._blame: dict[str, str] = {}
        self._live = self._downstream()

    def cut(self, most: int, beside: Beside) -> Segmented:
        ranges = list(self._ranges(most))
        made: list[Segment] = []
        crossing: set[str] = set()
        for positions in reversed(ranges):
            part = self._part(positions)
            segment = self._segment(part, positions)
            made.append(segment)
            crossing.update(i.name for i in part.graph.input)
            crossing.update(set(beside(segment.made)) - {*segment.made})
        crossing.difference_update(self.graph.inputs)
        for tensor in self.at:
            if not self._is_float(tensor):
                self.unreached[tensor] = NOT_FLOAT
            elif tensor not in self.graph.producer:
                self._settle(tensor, tensor in self._open)
        names = tuple(sorted(crossing))
        forward = self._whole(names) if names else None
        return Segmented(forward, names, tuple(made[::-1]), self.unreached)

    def _typed(self) -> Graph:
        """The graph with the shapes that it will have: sizes read from them are known then."""
        graph = Graph(self.graph.proto, self.graph.path, "", folder=self.graph.folder)
        graph.types = dict(self.types)
        return graph

    def _ranges(self, most: int) -> Iterator[range]:
        starts, held = [0], 0
        sizes = [sum(self._bytes(name) for name in tensors) for tensors in self.targets]
        most = max(most, sum(sizes) // MOST)
        for position, size in enumerate(sizes):
            if held and held + size > most:
                starts.append(position)
                held = 0
            held += size
        yield from (range(a, b) for a, b in pairwise([*starts, len(self.targets)]))

    def _bytes(self, tensor: str) -> int:
        return _FLOAT_BYTES * int(np.prod(self.shapes.get(tensor, (0,))))

    def _part(self, positions: range) -> onnx.ModelProto:
        """The nodes of a segment; what earlier ones make is an input, or a known constant."""
        wanted = [n for n in (*self.at, *self.outputs) if self._is_made(n, positions)]
        taps = [Tap(k, n, TensorForm()) for k, n in enumerate(dict.fromkeys(wanted))]
        model = side_part(self.graph, self.types, self.plan, positions, taps).model
        kept = []
        for item in model.graph.input:
            value = None if item.name in self.graph.inputs else self.known.value(item.name)
            if value is None:
                kept.append(item)
            else:
                model.graph.initializer.append(numpy_helper.from_array(value, item.name))
        inputs = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in kept]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        return model

    def _is_made(self, tensor: str, positions: range) -> bool:
        """Whether a segment makes a tensor in floating point."""
        node = self.graph.producer.get(tensor)
        here = node is not None and self.plan.position.get(node.index, -1) in positions
        return here and self._is_float(tensor)

    def _is_float(self, tensor: str) -> bool:
        known = self.types.get(tensor, self.graph.type_of(tensor))
        return known.elem_type in (_FLOAT, 0)

    def _downstream(self) -> set[str]:
        """The tensors asked for, and what moves with them."""
        live = {name for name in self.at if self._is_float(name)}
        for node in self.graph.nodes:
            if any(name in live for name in node.reads):
                live.update(name for name in node.outputs if name and self._is_float(name))
        return live

    def _segment(self, part: onnx.ModelProto, positions: range) -> Segment:
        made = tuple(t for t in self.at if self._is_made(t, positions))
        shown = tuple(o for o in self.outputs if self._is_made(o, positions))
        read = [i.name for i in part.graph.input if i.name in self._live]
        ends = sorted(t for t in self._open if self._is_made(t, positions))
        reverse = reverse_graph(
            part,
            self.shapes,
            [*made, *read],
            ends,
            self.graph.folder,
            forward=(*shown, *made),
            blame=self._blame,
        )
        for tensor in read:
            if tensor in reverse.gradients:
                self._open.add(tensor)
            elif reverse.unreached[tensor] not in (NOWHERE, NOT_FLOAT):
                self._blame[tensor] = reverse.unreached[tensor]
        for tensor in made:
            self._settle(tensor, tensor in reverse.gradients, reverse.unreached.get(tensor))
        return Segment(reverse, made, shown)

    def _settle(self, tensor: str, is_reached: bool, why: str | None = None) -> None:
        if tensor in self._blame or not is_reached:
            self.unreached[tensor] = self._blame.get(tensor) or why or NOWHERE

    def _whole(self, crossing: Sequence[str]) -> onnx.ModelProto:
        builder = PartBuilder(self.graph)
        builder.add_nodes(self.graph.nodes)
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        for name in crossing:
            builder.add_output(name)
        return builder.build()
