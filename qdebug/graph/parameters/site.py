"""A node with what is known around it, and what it turns out to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node, TensorType

UNKNOWN = None
"""A parameter that cannot be read; it equals everything."""
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Meaning:
    """What a node computes, but for its operands.

    Attributes:
        kind: operator, special cases under the general one's name.
        parameters: by name, None where open.
    """

    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A parameter in which two nodes differ.

    Attributes:
        parameter: its ONNX name; ``operator`` where the operators themselves differ.
        float_value: what the float node has, for people to read.
        quant_value: what the quant node has.
    """

    parameter: str
    float_value: str
    quant_value: str

    def __str__(self) -> str:
        return f"{self.parameter} {self.quant_value} instead of {self.float_value}"


@dataclass(frozen=True)
class Site:
    """A node with what is known around it.

    Attributes:
        node: the node.
        graph: it stands in.
        constants: of that graph.
        types: of that graph's tensors, as far as known beyond what the graph declares.
        perm: permutation from this graph's layout of the node's operand to the other graph's
            (``numpy.transpose(x, perm)``); None where they agree.
    """

    node: Node
    graph: Graph
    constants: Constants
    types: Mapping[str, TensorType] = field(default_factory=dict)
    perm: tuple[int, ...] | None = None

    def shape(self, tensor: str) -> tuple[int | str | None, ...] | None:
        """Shape of a tensor, None where not even the rank is known."""
        known = self.types.get(tensor, self.graph.type_of(tensor)).shape
        if known is not None or tensor not in self.constants:
            return known
        value = self.constants.value(tensor)
        return None if value is None else value.shape

    def attribute(self, name: str, default: Any = UNKNOWN) -> Any:
        """An attribute's value."""
        return self.node.attributes.get(name, default)

    def given(self, name: str, slot: int, default: Any = UNKNOWN) -> Any:
        """A parameter kept in an attribute or, by newer operator sets, in a constant input."""
        if name in self.node.attributes:
            return self.node.attributes[name]
        if slot >= len(self.node.inputs) or not self.node.inputs[slot]:
            return default
        value = self.constants.value(self.node.inputs[slot])
        return UNKNOWN if value is None else np.asarray(value).reshape(-1).tolist()

    def axis(self, number: int | None, rank: int | None = None) -> int | None:
        """An axis of the operand, from the front, in the other graph's layout."""
        rank = self.rank if rank is None else rank
        if number is None or (number < 0 and rank is None):
            return UNKNOWN
        plain = int(number) + (rank or 0) if number < 0 else int(number)
        if self.perm is None:
            return plain
        return self.perm.index(plain) if plain in self.perm else UNKNOWN

    @property
    def rank(self) -> int | None:
        """Rank of the first operand."""
        shape = self.shape(self.node.inputs[0]) if self.node.inputs else None
        return None if shape is None else len(shape)

    @property
    def channels_last(self) -> bool:
        """Whether this graph's layout of the operand has the channels last where it differs."""
        return self.perm is not None or "Nhwc" in self.node.op
