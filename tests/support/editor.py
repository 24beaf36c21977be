"""A model under change, for scripts that plant faults or cure them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Editor:
    """A model that is changed, and what is asked of it.

    Args:
        model: left as it is; the editor works on a copy.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.index()

    def index(self) -> None:
        """What is known of the graph's nodes and constants, after nodes were added."""
        self.constants = {t.name: t for t in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.producer = {name: n for n in self.graph.node for name in n.output}

    def value(self, name: str) -> Array:
        return numpy_helper.to_array(self.constants[name])

    def set(self, name: str, value: Array) -> None:
        self.constants[name].CopyFrom(numpy_helper.from_array(np.array(value, order="C"), name))

    def own(self, node: onnx.NodeProto, slot: int) -> str:
        """A copy of a constant input that no other node shares; its name."""
        old = node.input[slot]
        name = f"{old}/planted/{node.output[0]}"
        tensor = numpy_helper.from_array(self.value(old), name)
        self.graph.initializer.append(tensor)
        self.constants[name] = self.graph.initializer[-1]
        node.input[slot] = name
        return str(name)

    def dequantizer(self, tensor: str) -> onnx.NodeProto | None:
        node = self.producer.get(tensor)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def weighted(self, tensor: str) -> onnx.NodeProto:
        """The node with weights that makes a tensor, behind its activation perhaps."""
        node = self.producer[tensor]
        return node if node.op_type in WEIGHTED else self.weighted(node.input[0])

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        return [n for n in self.graph.node if tensor in n.input]

    def quantizer_of(self, tensor: str) -> onnx.NodeProto | None:
        """The ``QuantizeLinear`` that reads a tensor."""
        return next((n for n in self.readers(tensor) if n.op_type == "QuantizeLinear"), None)
