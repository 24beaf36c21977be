"""Walking a network backwards, from its outputs to the tensors asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from qdebug.cure.reverse import (  # noqa: F401  # each module registers its rules
    arithmetic,
    indexing,
    movement,
    normalization,
    pointwise,
    pooling,
    products,
    reductions,
    resize,
)
from qdebug.cure.reverse.refused import NO_RULE, REASONS, STEPS
from qdebug.cure.reverse.rule import RULES, Step
from qdebug.cure.reverse.tape import NoRuleError, Tape
from qdebug.cure.reverse.value import Value
from qdebug.graph.model import Graph, Node
from qdebug.graph.rewrite import PREFIX
from qdebug.graph.shapes import infer_types

_FLOAT = onnx.TensorProto.FLOAT
_OLDEST = 7
"""The first operator set in which arithmetic broadcasts as numpy does."""
NOWHERE = "no way leads from it to an output, or only through steps such as ArgMax"
NOT_FLOAT = "it does not hold float32"


@dataclass(frozen=True)
class Reverse:
    """A network together with its reverse pass.

    Attributes:
        model: the float graph and its reverse nodes. Its outputs are the forward tensors asked for,
            as far as they are not inputs, and the gradients.
        cotangents: output tensor to the name of the graph input that takes the gradient of the
            loss by that output, float32 and of its shape.
        gradients: tensor asked for to the name of the graph output that holds the gradient of the
            loss by it. Two tensors with the same gradient may share one.
        unreached: tensor asked for to one sentence that says why there is no gradient.
    """

    model: onnx.ModelProto
    cotangents: Mapping[str, str]
    gradients: Mapping[str, str]
    unreached: Mapping[str, str]


def reverse_graph(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    at: Collection[str],
    outputs: Sequence[str],
    folder: Path = Path(),
    *,
    forward: Collection[str] | None = None,
    blame: Mapping[str, str] | None = None,
) -> Reverse:
    """Add the reverse pass to a network.

    Each node is undone by its vector-Jacobian product, in ONNX operators of the model's own
    operator set. A gradient is given only if every way from its tensor to an output is covered.

    Args:
        model: a float network.
        shapes: of its tensors, for the inputs that it will be run with.
        at: tensors to give the gradient of the loss by.
        outputs: tensors that the loss is a function of.
        folder: where external data lies.
        forward: forward tensors that are outputs too; without them ONNX Runtime may fuse what makes
            them. None for those of the loss and those asked for.
        blame: tensors whose gradient is not known in full, with the reason: a network that this one
            is the first part of has a node without a rule.

    Returns:
        The model, its new inputs and outputs; nothing is raised for operators without a rule.
    """
    graph = Graph(model, folder / "model.onnx", "")
    graph.types = infer_types(graph, {n: tuple(shapes[n]) for n in graph.inputs if n in shapes})
    walk = _Walk(graph, shapes, dict.fromkeys(at), list(dict.fromkeys(outputs)), blame or {})
    walk.run()
    return walk.result([*walk.outputs, *walk.at] if forward is None else forward)


class _Walk:
    def __init__(
        self,
        graph: Graph,
        shapes: Mapping[str, tuple[int, ...]],
        at: Iterable[str],
        outputs: Sequence[str],
        blame: Mapping[str, str],
    ) -> None:
        self.graph, self.at = graph, list(at)
        self.tape = Tape(graph, shapes)
        self.outputs = [o for o in outputs if self._is_float(o)]
        self.cotangents = {o: f"{PREFIX}cotangent/{k}" for k, o in enumerate(self.outputs)}
        self._parts: dict[str, list[str]] = {o: [v] for o, v in self.cotangents.items()}
        self._blame = dict(blame)
        self._live = self._downstream()

    def run(self) -> None:
        """Emit the reverse of every node that lies between the tensors and the outputs."""
        for node in reversed(self.graph.nodes):
            if node.op in STEPS:
                continue
            wanted = frozenset(s for s, name in enumerate(node.inputs) if name in self._live)
            cotangents = tuple(self._total(name) for name in node.outputs)
            blame = next((self._blame[n] for n in node.outputs if n in self._blame), None)
            if blame is None and any(c is not None for c in cotangents):
                blame = self._undo(node, cotangents, wanted)
            if blame is not None:
                self._blame.update({name: blame for name in node.reads if name in self._live})

    def result(self, forward: Iterable[str]) -> Reverse:
        """The whole model."""
        gradients: dict[str, str] = {}
        unreached: dict[str, str] = {}
        for tensor in self.at:
            found = self._total(tensor)
            if not self._is_float(tensor):
                unreached[tensor] = NOT_FLOAT
            elif tensor in self._blame:
                unreached[tensor] = self._blame[tensor]
            elif found is None:
                unreached[tensor] = NOWHERE
            else:
                gradients[tensor] = self._as_output(found)
        model = self._model([*forward, *gradients.values()])
        return Reverse(model, self.cotangents, gradients, unreached)

    def _undo(
        self, node: Node, cotangents: tuple[str | None, ...], wanted: frozenset[int]
    ) -> str | None:
        """Emit one node's reverse; what is to blame where that cannot be done."""
        outer = any(name in self._live for name in node.outer_inputs)
        if not wanted and not outer:
            return None
        try:
            if self.tape.opset < _OLDEST:
                raise NoRuleError(f"operator sets before {_OLDEST} are not covered")
            rule = RULES.get(("" if node.domain == "ai.onnx" else node.domain, node.op))
            if rule is None or outer:
                raise NoRuleError(REASONS.get(node.op, NO_RULE))
            found = rule(Step(node, self.tape, cotangents, wanted))
        except NoRuleError as reason:
            return f"{node.label} ({node.op}) is on its way to an output: {reason}"
        for slot in sorted(wanted & set(found)):
            made = found[slot]
            name = made.name if isinstance(made, Value) else made
            self._parts.setdefault(node.inputs[slot], []).append(name)
        return None

    def _total(self, tensor: str) -> str | None:
        """The gradient by a tensor: the sum of what came back from its readers."""
        parts = self._parts.get(tensor)
        if not parts:
            return None
        if len(parts) > 1:
            parts[:] = [self.tape.add_up(parts)]
        return parts[0]

    def _downstream(self) -> set[str]:
        """The tensors asked for and all float ones that move with them."""
        live = {name for name in self.at if self._is_float(name)}
        for node in self.graph.nodes:
            if node.op not in STEPS and any(name in live for name in node.reads):
                live.update(name for name in node.outputs if name and self._is_float(name))
        return live

    def _is_float(self, tensor: str) -> bool:
        return self.graph.type_of(tensor).elem_type in (_FLOAT, 0)

    def _as_output(self, tensor: str) -> str:
        """A gradient that is a graph input, or a forward tensor, gets a name of its own."""
        return tensor if self.tape.has_made(tensor) else self.tape.emit("Identity", tensor)

    def _model(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """Forward and reverse nodes, as far as an output needs them."""
        builder, inputs = self.tape.builder, self.graph.inputs
        for name in inputs:
            known = self.graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        for output, name in self.cotangents.items():
            builder.add_input(name, _FLOAT, self.tape.known_shape(output))
        for name in outputs:
            if name not in inputs:
                builder.add_output(name)
        return builder.build()
