"""The tape: takes the nodes of the reverse pass and knows the forward graph.

What ONNX writes in different ways from one operator set to the next is written here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import helper

from qdebug.cure.reverse.value import Value
from qdebug.graph.constants import Constants
from qdebug.graph.model import Array, Graph
from qdebug.graph.rewrite import PREFIX, PartBuilder

REPEATS = 8
"""How often one value may be picked before a matrix product is cheaper than a sum of picks. By
judgement."""


class NoRuleError(Exception):
    """A node has no reverse rule, or its rule does not cover how it is used; says why."""


class Tape:
    """Collects nodes and constants of the reverse pass.

    Args:
        graph: the forward graph.
        shapes: of its tensors.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.graph = graph
        self.builder = PartBuilder(graph)
        self.builder.add_nodes(graph.nodes)
        self._shapes = shapes
        self._known = Constants(graph)
        self._numbers: dict[float, str] = {}
        self._made: set[str] = set()
        self._count = 0

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return self.graph.opset

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Shape of a forward tensor.

        Raises:
            NoRuleError: not known, or the tensor is empty.
        """
        found = self.known_shape(tensor)
        if found is None:
            raise NoRuleError("the shape of one of its tensors is not known")
        if 0 in found:
            raise NoRuleError("one of its tensors is empty")
        return found

    def known_shape(self, tensor: str) -> tuple[int, ...] | None:
        """Shape of a forward tensor; None where it is not known."""
        if tensor in self._shapes:
            return tuple(self._shapes[tensor])
        inferred = self.graph.type_of(tensor).fixed_shape
        if inferred is not None:
            return inferred
        value = self._known.value(tensor)
        return None if value is None else value.shape

    def value(self, tensor: str) -> Array:
        """Value of a forward tensor that does not depend on the inputs.

        Raises:
            NoRuleError: it does.
        """
        found = self._known.value(tensor)
        if found is None:
            raise NoRuleError("one of its parameters is computed while the network runs")
        return found

    def name_of(self, value: Value | float) -> str:
        """Name of a tensor, or of the constant that holds a number."""
        if isinstance(value, Value):
            return value.name
        number = float(value)
        if number not in self._numbers:
            self._numbers[number] = self.constant(np.float32(number))
        return self._numbers[number]

    def constant(self, value: Any) -> str:
        """Add a constant."""
        return self.builder.constant(self._new_name(), np.asarray(value))

    def integers(self, values: Iterable[int]) -> str:
        """Add a constant of int64."""
        return self.constant(np.asarray(list(values), np.int64))

    def emit(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        return self.emit_all(op, inputs, 1, domain, **attributes)[0]

    def emit_all(
        self, op: str, inputs: Sequence[str], outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; returns their names."""
        names = [self._new_name() for _ in range(outputs)]
        self._made.update(names)
        node = helper.make_node(op, list(inputs), names, names[0], domain=domain, **attributes)
        self.builder.add_copy(node)
        return names

    def has_made(self, tensor: str) -> bool:
        """Whether a tensor is one of the reverse pass, constants left aside."""
        return tensor in self._made

    def reshape(self, tensor: str, shape: Sequence[int]) -> str:
        """The same values in another shape."""
        return self.emit("Reshape", tensor, self.integers(shape))

    def transpose(self, tensor: str, perm: Sequence[int]) -> str:
        """Axes in another order, as for ``numpy.transpose``."""
        if list(perm) == list(range(len(perm))):
            return tensor
        return self.emit("Transpose", tensor, perm=[int(axis) for axis in perm])

    def reduce_sum(self, tensor: str, axes: Sequence[int], *, keep: bool = True) -> str:
        """Sum over axes."""
        if not axes:
            return tensor
        if self.opset >= 13:
            return self.emit("ReduceSum", tensor, self.integers(axes), keepdims=int(keep))
        return self.emit("ReduceSum", tensor, axes=list(axes), keepdims=int(keep))

    def unbroadcast(self, tensor: str, old: Sequence[int], new: Sequence[int]) -> str:
        """Gradient of an operand that was broadcast from shape ``new`` to shape ``old``."""
        if tuple(old) == tuple(new):
            return tensor
        lead = len(old) - len(new)
        axes = [
            axis
            for axis, size in enumerate(old)
            if axis < lead or (new[axis - lead] == 1 and size != 1)
        ]
        summed = self.reduce_sum(tensor, axes)
        return self.reshape(summed, new) if lead else summed

    def expand(self, tensor: str, shape: Sequence[int]) -> str:
        """Broadcast to a shape."""
        if self.opset >= 8:
            return self.emit("Expand", tensor, self.integers(shape))
        return self.emit("Mul", tensor, self.constant(np.ones(shape, np.float32)))

    def slice(self, tensor: str, axis: int, start: int, stop: int) -> str:
        """Consecutive entries of an axis."""
        if self.opset >= 10:
            ends = [self.integers([value]) for value in (start, stop, axis)]
            return self.emit("Slice", tensor, *ends)
        return self.emit("Slice", tensor, starts=[start], ends=[stop], axes=[axis])

    def pad(self, tensor: str, before: Sequence[int], after: Sequence[int]) -> str:
        """Zeros around a tensor."""
        if not any(before) and not any(after):
            return tensor
        if self.opset >= 11:
            return self.emit("Pad", tensor, self.integers([*before, *after]))
        return self.emit("Pad", tensor, pads=[*before, *after])

    def pick_back(self, tensor: str, shape: Sequence[int], axis: int, index: Array) -> str:
        """Gradient of ``y = x[index]`` along an axis; entries of -1 were no part of ``x``.

        Args:
            tensor: gradient of ``y``.
            shape: of ``x``.
            axis: the axis.
            index: ``[length of y's axis]``, positions on ``x``'s axis.
        """
        size, picked = shape[axis], [int(at) for at in index]
        first = picked[0] if picked else -1
        if first >= 0 and picked == list(range(first, first + len(picked))):
            before, after = [0] * len(shape), [0] * len(shape)
            before[axis], after[axis] = first, size - first - len(picked)
            return self.pad(tensor, before, after)
        places: list[list[int]] = [[] for _ in range(size)]
        for position, at in enumerate(picked):
            if at >= 0:
                places[at].append(position)
        repeats = max(map(len, places), default=0)
        inner = [*shape[:axis], len(picked), *shape[axis + 1 :]]
        if repeats > REPEATS:
            matrix = np.zeros((len(picked), size), np.float32)
            for at, positions in enumerate(places):
                matrix[positions, at] = 1
            return self.matrix_back(tensor, inner, axis, matrix)
        return self._sum_of_picks(tensor, inner, axis, places, max(repeats, 1))

    def _sum_of_picks(
        self, tensor: str, inner: list[int], axis: int, places: list[list[int]], repeats: int
    ) -> str:
        """Each entry is the sum of the gradient at its places; an added zero stands for none."""
        none = inner[axis]
        source = tensor
        if any(len(positions) < repeats for positions in places):
            zeros = np.zeros([*inner[:axis], 1, *inner[axis + 1 :]], np.float32)
            source = self.emit("Concat", tensor, self.constant(zeros), axis=axis)
        picks = [
            self.emit(
                "Gather",
                source,
                self.integers(p[turn] if turn < len(p) else none for p in places),
                axis=axis,
            )
            for turn in range(repeats)
        ]
        return self.add_up(picks)

    def matrix_back(self, tensor: str, shape: Sequence[int], axis: int, matrix: Array) -> str:
        """Gradient of ``y = matrix @ x`` along an axis.

        Args:
            tensor: gradient of ``y``.
            shape: of ``y``.
            axis: the axis.
            matrix: float32 ``[length of y's axis, length of x's axis]``.
        """
        before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        given = np.ascontiguousarray(matrix, np.float32)
        if after == 1:
            flat = self.reshape(tensor, [before, shape[axis]])
            product = self.emit("MatMul", flat, self.constant(given))
        else:
            flat = self.reshape(tensor, [before, shape[axis], after])
            product = self.emit("MatMul", self.constant(np.ascontiguousarray(given.T)), flat)
        return self.reshape(product, [*shape[:axis], matrix.shape[1], *shape[axis + 1 :]])

    def add_up(self, tensors: Sequence[str]) -> str:
        """Sum of tensors of one shape."""
        if len(tensors) == 1:
            return tensors[0]
        return self.emit("Add" if len(tensors) == 2 else "Sum", *tensors)

    def zeros(self, shape: Sequence[int]) -> str:
        """A constant of zeros."""
        return self.constant(np.zeros(shape, np.float32))

    def _new_name(self) -> str:
        self._count += 1
        return f"{PREFIX}reverse/{self._count}"
