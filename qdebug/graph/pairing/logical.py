"""A graph without its quantization: values and the operations between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from qdebug.graph.constants import Constants
from qdebug.graph.model import Array, Graph, Node, TensorType
from qdebug.graph.operators import NEUTRAL_ELEMENTS, VIEW_FAMILIES
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import dequantize

_NARROWER = 0.1
"""Part of a range by which the next one must be narrower to hold an activation. By judgement: a
``Relu`` or ``Clip`` that matters cuts more."""
_FILLED = 4096  # elements up to which a constant is looked through; by judgement, for time


@dataclass(eq=False)
class Const:
    """A constant operand.

    Attributes:
        tensor: what the operator reads.
        quantizer: set where ``tensor`` holds integer codes.
    """

    tensor: str
    constants: Constants = field(repr=False)
    quantizer: Quantizer | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape, without reading it."""
        return self.constants.graph.type_of(self.tensor).fixed_shape

    def is_filled_with(self, number: float) -> bool:
        """Whether it is a small constant whose entries are all this number."""
        if self.shape is None or int(np.prod(self.shape)) > _FILLED:
            return False
        value = self.read()
        return value is not None and bool(np.allclose(value, number, rtol=1e-6, atol=1e-9))

    def read(self) -> Array | None:
        """Real values, float32 for codes; None where they cannot be evaluated."""
        value = self.constants.value(self.tensor)
        if value is None or self.quantizer is None:
            return value
        return dequantize(value, self.quantizer)


@dataclass(eq=False)
class Value:
    """Tensors that stand for one value: before and after Q/DQ, casts and copies.

    Attributes:
        index: position in ``Logical.values``.
        raw: the tensor its operation computes.
        op: that operation; None for a graph input.
        paths: for every member, the nodes that lead to it from ``raw``.
        codes: members that hold integer codes; None where the scale is computed while running.
        quantizers: quantizer in force at each member.
        root: the value that this one repeats (a common subexpression); itself otherwise.
        consumers: operations that read it (or a repetition of it), with the operand's slot.
        readers: for every member, how many operations or graph outputs read it.
        outputs: names of graph outputs among the members.
    """

    index: int
    raw: str
    op: Op | None
    type: TensorType
    paths: dict[str, tuple[int, ...]]
    codes: dict[str, Quantizer | None] = field(default_factory=dict)
    quantizers: dict[str, Quantizer | None] = field(default_factory=dict)
    accumulator: bool = False
    root: Value = field(init=False, repr=False)
    consumers: list[tuple[Op, int]] = field(default_factory=list, repr=False)
    readers: dict[str, int] = field(default_factory=dict, repr=False)
    outputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self

    @property
    def shape(self) -> tuple[int | str | None, ...] | None:
        """Shape of ``raw``."""
        return self.type.shape

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest real number its quantizer lets through; None without one."""
        quantizers = [q for q in self.quantizers.values() if q is not None]
        if not quantizers:
            return None
        return quantizers[0].real_range

    def consumer_ops(self) -> list[Op]:
        """Operations that read the value, each once."""
        return list(dict.fromkeys(op for op, _ in self.consumers))


@dataclass(eq=False)
class Op:
    """One operation on values.

    Attributes:
        index: position in ``Logical.ops``.
        family: shared by operators that compute the same thing.
        node: its (main) node.
        inputs: values, constants, or None where an optional operand is absent.
        outputs: values, None where an optional output is absent.
        params: attributes, and the constant inputs that newer operator sets use instead of them.
        repeats: indices of further nodes that compute the same of the same operands.
    """

    index: int
    family: str
    node: Node
    inputs: tuple[Value | Const | None, ...]
    params: dict[str, Any] = field(repr=False)
    outputs: list[Value | None] = field(default_factory=list, repr=False)
    repeats: list[int] = field(default_factory=list, repr=False)

    @property
    def nodes(self) -> set[int]:
        """Indices of its node and of those that repeat it."""
        return {self.node.index, *self.repeats}

    @property
    def values(self) -> list[Value]:
        """Operands that are computed."""
        return [operand for operand in self.inputs if isinstance(operand, Value)]

    @property
    def consts(self) -> list[Const]:
        """Constant operands."""
        return [operand for operand in self.inputs if isinstance(operand, Const)]

    @cached_property
    def is_view(self) -> bool:
        """Whether the result holds the operand's values, at most laid out anew."""
        if len(self.values) != 1 or len(self.outputs) != 1 or self._result_clips:
            return False
        if self.family in VIEW_FAMILIES or self.family == "Concat":
            return len(self.inputs) == 1
        if self.family == "Pad":
            return not np.any(self.params.get("pads", 1))
        neutral = NEUTRAL_ELEMENTS.get(self.family)
        if neutral is None or (self.family in ("Sub", "Div") and not self._value_first):
            return False
        return len(self.consts) == 1 and self.consts[0].is_filled_with(neutral)

    @property
    def _result_clips(self) -> bool:
        """Whether the result's quantizer is clearly narrower: an activation was folded into it."""
        before, after = self.values[0].range, self.result.range
        if before is None or after is None:
            return False
        slack = _NARROWER * (before[1] - before[0])
        return after[0] > before[0] + slack or after[1] < before[1] - slack

    @property
    def _value_first(self) -> bool:
        return isinstance(self.inputs[0], Value)

    @property
    def result(self) -> Value:
        """First output."""
        value = next((value for value in self.outputs if value is not None), None)
        if value is None:
            raise ValueError(f"{self.node.label} has no outputs")
        return value


@dataclass
class Logical:
    """Values and operations of a graph, in execution order.

    Attributes:
        of_tensor: the value each tensor belongs to.
        plumbing: tensors that serve quantization only (scales computed while running,
            accumulators), with a phrase that says which.
    """

    graph: Graph
    constants: Constants
    values: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    of_tensor: dict[str, Value] = field(default_factory=dict)
    plumbing: dict[str, str] = field(default_factory=dict)
