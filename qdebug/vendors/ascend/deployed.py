"""AMCT's deploy graph: ``AscendQuant`` and ``AscendDequant`` as standard operators.

Source: the kernels that AMCT registers with ONNX Runtime, in which
``AscendQuant = clip(rint(x * scale) + offset)`` and ``AscendDequant`` multiplies the 32-bit sum
with a float32 that lies in the low half of a 64-bit number; a graph that AMCT wrote, whose biases
are those of the float model: the sum is of ``code - offset``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.encodings.opsets import MICROSOFT, opset_of
from qdebug.encodings.rewriting import Rewriting
from qdebug.encodings.weights import output_axis
from qdebug.errors import ModelError
from qdebug.graph.model import Node
from qdebug.graph.operators import KEEPS_CODES, WEIGHTED
from qdebug.graph.validity import name_of

Floats = npt.NDArray[np.float32]
OPERATORS = frozenset({"AscendQuant", "AscendDequant"})
_TYPES = {8: np.int8, 16: np.int16}
_AXIS_OPSET = 13
_HINT = "give AMCT's *_fake_quant_model.onnx with standard operators, or its record file"


def expand(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Replace AMCT's operators; changes and returns the model.

    Args:
        model: the deploy model.
        folder: where its external weights lie.

    Raises:
        ModelError: an operator stands where its meaning is not known.
    """
    return _Expansion(model, folder).run()


class _Expansion(Rewriting):
    """One graph on its way to standard operators."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        super().__init__(model, folder, "" if opset_of(model) >= _AXIS_OPSET else MICROSOFT)
        self.steps: dict[str, np.float32] = {}
        """Step of the codes that a tensor held, by its name."""

    def run(self) -> onnx.ModelProto:
        """The whole graph."""
        for node in self.graph.nodes:
            if node.op == "AscendQuant":
                self._quantized(node)
            elif node.op == "AscendDequant":
                self._summed(node)
            elif not self._is_summed(node):
                self._passed(node)
        read = {name for node in self.nodes for name in node.input}
        kept = [item for item in self.model.graph.initializer if item.name in read]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        return self.written()

    def _is_summed(self, node: Node) -> bool:
        """Whether a node's result is a sum of codes, which is written where that is scaled."""
        readers = self.graph.readers.get(node.outputs[0], []) if node.outputs else []
        return any(reader.op == "AscendDequant" for reader in readers)

    def _passed(self, node: Node) -> None:
        self.nodes.append(node.proto)
        source = node.inputs[0] if node.inputs else ""
        if node.op in KEEPS_CODES and source in self.steps:
            self.steps[node.outputs[0]] = self.steps[source]

    def _quantized(self, node: Node) -> None:
        """``AscendQuant``: codes, and back at once."""
        attributes, out = node.attributes, node.outputs[0]
        dst = str(attributes.get("dst_type", ""))
        bits = int(attributes.get("quant_bit", dst.removeprefix("INT") or 8))
        per_unit = np.float32(attributes.get("scale", 0))
        if bits not in _TYPES or attributes.get("sqrt_mode") or not per_unit > 0:
            raise self._odd(node, f"quantizes to {bits} bits with {per_unit:g} codes a unit")
        self.steps[out] = np.float32(1) / per_unit
        zero = _TYPES[bits](int(attributes.get("offset", 0)))
        parameters = [
            self.constant(f"{out}_scale", self.steps[out]),
            self.constant(f"{out}_zero_point", zero),
        ]
        codes = f"{out}_QuantizeLinear_Output"
        self.emit("QuantizeLinear", [node.inputs[0], *parameters], codes)
        self.emit("DequantizeLinear", [codes, *parameters], out)

    def _summed(self, node: Node) -> None:
        """``AscendDequant``: the operator before it, of real numbers."""
        maker = self.graph.producer.get(node.inputs[0])
        scale = self._multiplier(node)
        if maker is None or len(self.graph.readers[node.inputs[0]]) != 1:
            raise self._odd(node, "scales what is no sum of a single operator")
        step = self.steps.get(maker.inputs[0])
        if step is None:
            raise self._odd(node, f"scales a sum of {maker.label!r}, whose input has no codes")
        made = onnx.NodeProto()
        made.CopyFrom(maker.proto)
        made.output[0] = node.outputs[0]
        if maker.op in WEIGHTED:
            made.input[1] = self._weight(node, maker, (scale / step).astype(np.float32))
            if len(made.input) > 2 and made.input[2]:
                made.input[2] = self._stored(made.input[2], scale, 0)
        elif not np.allclose(scale, step, rtol=1e-6):
            raise self._odd(node, f"gives {maker.op} another scale than its input has")
        self.nodes.append(made)

    def _multiplier(self, node: Node) -> Floats:
        """The factors of a sum, ``[channels]`` or ``[1]``."""
        value = self.graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if value is None or value.dtype != np.uint64:
            raise self._odd(node, "has no stored factors")
        if (value >> np.uint64(32)).any():
            raise self._odd(node, "shifts its sums, which is not simulated")
        low = (value & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        scale: Floats = low.view(np.float32).reshape(-1)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise self._odd(node, "has a factor that is not above zero")
        return scale

    def _weight(self, node: Node, maker: Node, scale: Floats) -> str:
        codes = self.graph.constant(maker.inputs[1])
        if codes is None or codes.dtype != np.int8:
            raise self._odd(node, f"scales a sum of {maker.label!r}, whose weight is no int8")
        return self._stored(maker.inputs[1], scale, output_axis(maker, codes.ndim))

    def _stored(self, codes: str, scale: Floats, axis: int) -> str:
        """Stored codes as real numbers."""
        out = f"{codes}_DequantizeLinear_Output"
        if any(out in node.output for node in self.nodes):
            return out
        many = {"axis": axis} if scale.size > 1 else {}
        factor = self.constant(f"{codes}_scale", scale if many else scale.reshape(()))
        self.emit("DequantizeLinear", [codes, factor], out, **many)
        return out

    def _odd(self, node: Node, what: str) -> ModelError:
        return ModelError(f"{node.op} {name_of(node.label)} {what}", _HINT)
