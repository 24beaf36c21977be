"""Formulas on tensors: what is written with operators becomes nodes of the reverse pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdebug.cure.reverse.tape import Tape


@dataclass(frozen=True)
class Value:
    """A tensor of the graph to compute with; numbers are float32 scalars.

    Attributes:
        tape: takes the nodes.
        name: of the tensor.
    """

    tape: Tape
    name: str

    def apply(self, op: str, *others: Value | float) -> Value:
        """The result of an operator with this tensor as first input."""
        names = [self.tape.name_of(other) for other in others]
        return Value(self.tape, self.tape.emit(op, self.name, *names))

    def __add__(self, other: Value | float) -> Value:
        return self.apply("Add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self.apply("Sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self.apply("Mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self.apply("Div", other)

    def __pow__(self, other: Value | float) -> Value:
        return self.apply("Pow", other)

    def __neg__(self) -> Value:
        return self.apply("Neg")

    def __radd__(self, other: float) -> Value:
        return self + other

    def __rmul__(self, other: float) -> Value:
        return self * other

    def __rsub__(self, other: float) -> Value:
        return Value(self.tape, self.tape.name_of(other)) - self

    def __rtruediv__(self, other: float) -> Value:
        return Value(self.tape, self.tape.name_of(other)) / self

    def above(self, other: Value | float) -> Value:
        """1 where this tensor is greater, 0 elsewhere."""
        return self.apply("Greater", other).as_float()

    def below(self, other: Value | float) -> Value:
        """1 where this tensor is less, 0 elsewhere."""
        return self.apply("Less", other).as_float()

    def equals(self, other: Value) -> Value:
        """1 where both are equal, 0 elsewhere."""
        if self.tape.opset >= 11:  # before, Equal took no floating point
            return self.apply("Equal", other).as_float()
        return (1 - self.above(other)) * (1 - self.below(other))

    def as_float(self) -> Value:
        """Booleans as 0 and 1."""
        return Value(self.tape, self.tape.emit("Cast", self.name, to=1))

    def sum(self, axes: tuple[int, ...]) -> Value:
        """Sum over axes, which are kept with length 1."""
        return Value(self.tape, self.tape.reduce_sum(self.name, axes))

    def mean(self, axes: tuple[int, ...], count: int) -> Value:
        """Mean over axes, which are kept with length 1.

        Args:
            axes: non-negative.
            count: elements that one mean is taken over.
        """
        return self.sum(axes) * (1 / count)

    def reshape(self, shape: tuple[int, ...]) -> Value:
        """The same values in another shape."""
        return Value(self.tape, self.tape.reshape(self.name, shape))
