"""What a reverse rule is, and where each one is found by its operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdebug.cure.reverse.tape import NoRuleError, Tape
from qdebug.cure.reverse.value import Value
from qdebug.graph.model import Node

Rule = Callable[["Step"], Mapping[int, str | Value]]
"""Gradients of a node's inputs by slot, for the wanted ones. A wanted slot that is left out gets
no gradient: its values do not move the outputs."""

RULES: dict[tuple[str, str], Rule] = {}
"""Rules by domain and operator; the default domain is the empty string."""


@dataclass(frozen=True)
class Step:
    """One forward node, while it is walked backwards.

    Attributes:
        node: the node.
        tape: takes the reverse nodes.
        cotangents: gradient of each output; None where nothing came back through it.
        wanted: input slots whose gradient is needed.
    """

    node: Node
    tape: Tape
    cotangents: tuple[str | None, ...]
    wanted: frozenset[int]

    @property
    def cotangent(self) -> str:
        """Gradient of the first output.

        Raises:
            NoRuleError: something came back through another output.
        """
        first, *others = self.cotangents
        if first is None or any(other is not None for other in others):
            raise NoRuleError("more than its first output is used")
        return first

    @property
    def d(self) -> Value:
        """Gradient of the first output, to compute with."""
        return Value(self.tape, self.cotangent)

    @property
    def x(self) -> Value:
        """The first input."""
        return self.input(0)

    @property
    def y(self) -> Value:
        """The first output."""
        return Value(self.tape, self.node.outputs[0])

    def has(self, slot: int) -> bool:
        """Whether the node has an input there."""
        return slot < len(self.node.inputs) and bool(self.node.inputs[slot])

    def input(self, slot: int) -> Value:
        """One input."""
        return Value(self.tape, self.node.inputs[slot])

    def shape(self, slot: int = 0) -> tuple[int, ...]:
        """Shape of an input."""
        return self.tape.shape(self.node.inputs[slot])

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self.tape.shape(self.node.outputs[0])

    def integers(self, attribute: str, slot: int) -> list[int] | None:
        """What an older operator set keeps in an attribute and a newer one in an input.

        Returns:
            None where neither is given.

        Raises:
            NoRuleError: the input is computed while the network runs.
        """
        if self.has(slot):
            return [int(v) for v in self.tape.value(self.node.inputs[slot]).reshape(-1)]
        given = self.node.attributes.get(attribute)
        return None if given is None else [int(v) for v in given]

    def only(self, *slots: int) -> None:
        """Refuse gradients of any other input.

        Raises:
            NoRuleError: another one is wanted.
        """
        for slot in sorted(self.wanted - set(slots)):
            raise NoRuleError(f"its input {slot} is computed while the network runs")


def rule(*ops: str, domain: str = "") -> Callable[[Rule], Rule]:
    """Register a rule for operators."""

    def register(function: Rule) -> Rule:
        RULES.update({(domain, op): function for op in ops})
        return function

    return register
