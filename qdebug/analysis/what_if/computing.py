"""Writes the float model's own nodes of a layer into the quant graph, on the twin's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import onnx

from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.pairs import Pair
from qdebug.graph.rewrite import PREFIX, PartBuilder


class FloatLayers:
    """The float nodes that make a pair's tensor of the nearest pairs before it.

    Args:
        graphs: float and quant graph.
        pairs: of the two.
    """

    def __init__(self, graphs: tuple[Graph, Graph], pairs: tuple[Pair, ...]) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairs = pairs

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {pair.float_tensor: at for at, pair in enumerate(self.pairs)}

    @cached_property
    def _constants(self) -> Constants:
        return Constants(self.float_graph)

    def can_be_written(self, at: int) -> bool:
        """Whether the layer's nodes mean in the quant graph what they mean in the float one."""
        nodes = self._nodes(at)
        same = self.float_graph.opset == self.quant_graph.opset
        return bool(nodes) and same and not any(node.outer_inputs for node in nodes)

    def sources(self, at: int) -> frozenset[int]:
        """Positions of the pairs that the layer's float nodes read."""
        found = (name for node in self._nodes(at) for name in node.reads)
        return frozenset(self._position[name] for name in found if name in self._position)

    def _nodes(self, at: int) -> list[Node]:
        graph, tensor = self.float_graph, self.pairs[at].float_tensor
        maker = graph.producer.get(tensor)
        if maker is None:
            return []
        chosen = {maker.index} | graph.ancestors(maker.reads, self._position)
        return [graph.nodes[index] for index in sorted(chosen)]

    def write(self, at: int, renames: Mapping[str, str], builder: PartBuilder) -> str:
        """Add the layer's float nodes.

        Args:
            at: position of the pair.
            renames: quant tensors whose readers read something else.
            builder: of the changed quant graph, which has made what the layer reads.

        Returns:
            The tensor of the result, in the float graph's layout.

        Raises:
            ValueError: a value is missing, or it cannot be written.
        """
        if not self.can_be_written(at):
            raise ValueError(f"the nodes of {self.pairs[at].float_tensor} cannot be written")
        tag = f"{PREFIX}what-if/computed/{at}"
        names: dict[str, str] = {}
        for node in self._nodes(at):
            copy = onnx.NodeProto()
            copy.CopyFrom(node.proto)
            copy.name = f"{tag}/{node.index}"
            for slot, name in enumerate(node.inputs):
                if name and name not in names:
                    names[name] = self._read(name, tag, renames, builder)
                copy.input[slot] = names.get(name, "")
            for slot, name in enumerate(node.outputs):
                if name:
                    names[name] = copy.output[slot] = f"{tag}/{name}"
            builder.add_copy(copy)
        return names[self.pairs[at].float_tensor]

    def _read(self, name: str, tag: str, renames: Mapping[str, str], builder: PartBuilder) -> str:
        """A float tensor as the changed quant graph has it."""
        at = self._position.get(name)
        if at is not None:
            pair = self.pairs[at]
            known = self.quant_graph.type_of(pair.read).elem_type
            held = renames.get(pair.read, pair.read)
            return builder.decode(held, pair.read_form, known, f"{tag[len(PREFIX) :]}/{at}")
        value = self._constants.value(name)
        if value is None:
            raise ValueError(f"{name} has no value in the quant graph")
        return builder.constant(f"{tag}/{name}", value)
