"""The reverse pass of a network, run on samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.reverse import Reverse, reverse_graph
from qdebug.graph.model import Graph
from qdebug.graph.rewrite import PREFIX
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Receive = Callable[[str, Array | None, Array], None]
"""Is given a tensor, its value (None where values are not asked for) and its gradient; it must not
keep them."""
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Delta:
    """What quantizing changes in the constants of one weighted node.

    Attributes:
        weight: change of its second input, float32 and of its shape.
        bias: change of its third input; None where it has none, or none that changes.
    """

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Outcome:
    """What one run gives beside the gradients.

    Attributes:
        outputs: values that the loss is a function of.
        products: how far the changed constants of each node move the loss, to first order, by the
            node's output: those of ``deltas`` that are reached.
    """

    outputs: Mapping[str, Array]
    products: Mapping[str, float]


@dataclass(frozen=True)
class _Opened:
    reverse: Reverse
    session: Session
    shapes: Mapping[str, tuple[int, ...]]
    products: Mapping[str, str]

    def zeros(self, output: str) -> Array:
        return np.zeros(self.shapes[output], np.float32)


class ReverseRuns:
    """Gradients at tensors of a float graph, by running its reverse pass.

    Args:
        graph: the float graph.
        at: tensors to give the gradient of the loss by.
        outputs: tensors that the loss is a function of.
        settings: how to run it; always with all optimizations.
        deltas: changed constants by the output of the weighted node that reads them.
        max_memory: bytes of tensors held at once; where they are more, a run is repeated.
        values: whether the tensors' values are wanted too.

    Attributes:
        unreached: tensor to one sentence that says why it has no gradient; filled by a run.
    """

    def __init__(
        self,
        graph: Graph,
        at: Collection[str],
        outputs: Sequence[str],
        settings: SessionSettings,
        deltas: Mapping[str, Delta] | None = None,
        max_memory: int = DEFAULT_MEMORY,
        *,
        values: bool = True,
    ) -> None:
        self.graph, self.at, self.outputs = graph, list(dict.fromkeys(at)), list(outputs)
        self.settings, self.deltas, self.max_memory = settings.deployed, deltas or {}, max_memory
        self.values = values
        self.unreached: dict[str, str] = {}
        self._opened: dict[Shapes, _Opened] = {}

    def run(
        self,
        feeds: Feeds,
        cotangents: Mapping[str, Array],
        receive: Receive,
        only: Collection[str] | None = None,
    ) -> Outcome:
        """Run once on a sample.

        Args:
            feeds: the model's inputs.
            cotangents: gradient of the loss by each output, of its shape; zero where left out.
            receive: is given each tensor that is reached.
            only: of the tensors asked for; None for all.

        Raises:
            ModelError: ONNX Runtime cannot run the reverse pass.
        """
        opened = self._open(feeds)
        given = {
            name: np.asarray(
                cotangents[output] if output in cotangents else opened.zeros(output), np.float32
            )
            for output, name in opened.reverse.cotangents.items()
        }
        rest = dict.fromkeys([*opened.reverse.cotangents, *opened.products.values()])
        first: dict[str, Array] = {}
        for tensors in self._portions(opened, only):
            names = {tensor: opened.reverse.gradients[tensor] for tensor in tensors}
            forward = [t for t in tensors if self.values and t not in feeds]
            asked = dict.fromkeys([*forward, *names.values(), *([] if first else rest)])
            values = opened.session.run({**feeds, **given}, list(asked))
            first = first or {name: values[name] for name in rest}
            for tensor, name in names.items():
                value = values.get(tensor, feeds.get(tensor)) if self.values else None
                receive(tensor, value, values[name])
        outputs = {name: first[name] for name in opened.reverse.cotangents}
        products = {node: float(first[name]) for node, name in opened.products.items()}
        return Outcome(outputs, products)

    def _portions(self, opened: _Opened, only: Collection[str] | None) -> Iterator[list[str]]:
        """Tensors whose values and gradients fit the memory allowed, together."""
        portion: list[str] = []
        used = 0
        for tensor in opened.reverse.gradients:
            if only is not None and tensor not in only:
                continue
            size = (8 if self.values else 4) * int(np.prod(opened.shapes[tensor]))
            if portion and used + size > self.max_memory:
                yield portion
                portion, used = [], 0
            portion.append(tensor)
            used += size
        yield portion

    def _open(self, feeds: Feeds) -> _Opened:
        key: Shapes = tuple((name, np.shape(value)) for name, value in feeds.items())
        if key not in self._opened:
            self._opened.clear()  # samples of another size: one session is enough to hold
            self._opened[key] = self._built(feeds)
        return self._opened[key]

    def _built(self, feeds: Feeds) -> _Opened:
        types = types_for(self.graph, feeds, self.settings)
        shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
        at = [*self.at, *self.deltas]
        reverse = reverse_graph(
            self.graph.proto, shapes, at, self.outputs, self.graph.folder, forward=self.values
        )
        products = self._add_products(reverse)
        asked = {t: name for t, name in reverse.gradients.items() if t in self.at}
        self.unreached = dict(reverse.unreached)
        session = Session(reverse.model, self.graph, self.settings)
        return _Opened(replace(reverse, gradients=asked), session, shapes, products)

    def _add_products(self, reverse: Reverse) -> dict[str, str]:
        """One more of each weighted node, on the change of its weights, times the gradient."""
        made = {}
        for number, (output, delta) in enumerate(self.deltas.items()):
            if output in reverse.gradients:
                tag = f"{PREFIX}product/{number}"
                nodes, constants = self._product(output, delta, reverse.gradients[output], tag)
                reverse.model.graph.node.extend(nodes)
                reverse.model.graph.initializer.extend(constants)
                reverse.model.graph.output.append(onnx.ValueInfoProto(name=tag))
                made[output] = tag
        return made

    def _product(
        self, output: str, delta: Delta, gradient: str, tag: str
    ) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        node = onnx.NodeProto()
        node.CopyFrom(self.graph.producer[output].proto)
        changes = {1: delta.weight, 2: delta.bias}
        if node.op_type == "Gemm" and delta.bias is None:
            changes[2] = np.zeros(1, np.float32)  # not optional in older operator sets
        constants = [
            numpy_helper.from_array(np.asarray(value, np.float32), f"{tag}/{slot}")
            for slot, value in changes.items()
            if value is not None
        ]
        inputs = [node.input[0], *(constant.name for constant in constants)]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.append(f"{tag}/moved")
        node.name = f"{tag}/moved"
        moved = helper.make_node("Mul", [f"{tag}/moved", gradient], [f"{tag}/each"], f"{tag}/each")
        total = helper.make_node("ReduceSum", [f"{tag}/each"], [tag], tag, keepdims=0)
        return [node, moved, total], constants
