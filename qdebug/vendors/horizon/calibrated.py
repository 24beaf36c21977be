"""Horizon's calibrated ONNX graph: ``HzCalibration`` and its kin as standard operators.

Source: graphs that hmct 1.1.0 wrote, held against hmct's own executor: the expanded graph gives
every tensor of MobileNetV2 with difference 0.0 where ONNX Runtime optimizes nothing.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from qdebug.encodings.opsets import opset_of
from qdebug.encodings.rewriting import Rewriting
from qdebug.errors import ModelError
from qdebug.graph.model import Node
from qdebug.graph.shapes import infer_types

OPERATORS = frozenset({"HzCalibration", "HzHardSwish", "HzChannelShuffle"})
_TYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16}
_OPSET = 21
_MOVED = {"Split": "split", "Squeeze": "axes", "Unsqueeze": "axes", "ReduceSum": "axes"}


def expand(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Replace Horizon's operators; changes and returns the model.

    Args:
        model: the calibrated model, of opset 10 or 11.
        folder: where its external weights lie.

    Raises:
        ModelError: an operator has a type or an attribute that is not known, or the graph is the
            integer one, which runs on the device only.
    """
    return _Expansion(model, folder).run()


class _Expansion(Rewriting):
    """One graph on its way to standard operators."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        super().__init__(model, folder)
        self.graph.types = infer_types(self.graph)

    def run(self) -> onnx.ModelProto:
        """The whole graph. Other operators of Horizon's stay: detection behind the network."""
        steps = {
            "HzCalibration": self._calibration,
            "HzHardSwish": self._hard_swish,
            "HzChannelShuffle": self._shuffle,
        }
        self._check(steps)
        for node in self.graph.nodes:
            if node.op in steps:
                steps[node.op](node)
            else:
                self._plain(node)
        kept = [o for o in self.model.opset_import if o.domain not in ("", "ai.onnx")]
        del self.model.opset_import[:]
        self.model.opset_import.extend([helper.make_opsetid("", _OPSET), *kept])
        self.model.ir_version = max(self.model.ir_version, 10)
        return self.written()

    def _check(self, known: Container[str]) -> None:
        """Refuse the integer graph, whose operators run on the device only."""
        if any(node.op == "HzCalibration" for node in self.graph.nodes):
            return
        for node in self.graph.nodes:
            if node.domain not in ("", "ai.onnx") and node.op not in known:
                raise ModelError(
                    f"{node.op} {node.label!r} is an operator of Horizon's integer graph",
                    "give the calibrated model (*_calibrated_model.onnx)",
                )

    def _calibration(self, node: Node) -> None:
        """Quantize and dequantize; an equalized input is read with one scale."""
        attributes, out = node.attributes, node.outputs[0]
        qtype = str(attributes.get("qtype", "int8"))
        if qtype not in _TYPES or "scales" not in attributes:
            raise ModelError(
                f"HzCalibration {node.label!r} quantizes to {qtype}, which is not known",
                "give the model as hmct calibrated it to int8, uint8 or int16",
            )
        scales = np.asarray(attributes["scales"], np.float32)
        axis: dict[str, Any] = {"axis": int(attributes.get("axis", 1))}
        if scales.size == 1:
            scales, axis = scales.reshape(()), {}
        scale = self.constant(f"{out}_scale", scales)
        zero = self.constant(f"{out}_zero_point", np.zeros(scales.shape, _TYPES[qtype]))
        codes = f"{out}_QuantizeLinear_Output"
        self.emit("QuantizeLinear", [node.inputs[0], scale, zero], codes, **axis)
        if "dequantize_scale" in attributes:
            one = np.float32(np.asarray(attributes["dequantize_scale"]).reshape(-1)[0])
            scale = self.constant(f"{out}_dequantize_scale", one)
            zero = self.constant(f"{out}_dequantize_zero_point", np.zeros((), _TYPES[qtype]))
            axis = {}
        self.emit("DequantizeLinear", [codes, scale, zero], out, **axis)

    def _hard_swish(self, node: Node) -> None:
        """``x * clip(x + 3, 0, 6) / 6``, rounded in this order."""
        x, out = node.inputs[0], node.outputs[0]
        three, zero, six = (
            self.constant(f"{out}_{name}", np.float32(value))
            for name, value in (("three", 3), ("zero", 0), ("six", 6))
        )
        self.emit("Add", [x, three], f"{out}_moved")
        self.emit("Clip", [f"{out}_moved", zero, six], f"{out}_gate")
        self.emit("Mul", [x, f"{out}_gate"], f"{out}_product")
        self.emit("Div", [f"{out}_product", six], out)

    def _shuffle(self, node: Node) -> None:
        """Reshape to groups, exchange, reshape back."""
        shape = self.graph.type_of(node.inputs[0]).shape
        layout = str(node.attributes.get("data_format", "NCHW"))
        if shape is None or len(shape) != 4 or not isinstance(shape[1], int) or layout != "NCHW":
            raise ModelError(
                f"the channels that HzChannelShuffle {node.label!r} mixes are not known"
            )
        groups, channels, out = int(node.attributes["group"]), shape[1], node.outputs[0]
        # 0 keeps a dimension; height and width go together while channels are exchanged.
        apart = np.asarray([0, groups, channels // groups, -1], np.int64)
        self.emit("Shape", [node.inputs[0]], f"{out}_shape")
        self.emit("Reshape", [node.inputs[0], self.constant(f"{out}_apart", apart)], f"{out}_in")
        self.emit("Transpose", [f"{out}_in"], f"{out}_exchanged", perm=[0, 2, 1, 3])
        self.emit("Reshape", [f"{out}_exchanged", f"{out}_shape"], out)

    def _plain(self, node: Node) -> None:
        """A standard operator as opset 13 and later have it."""
        name = _MOVED.get(node.op)
        before = opset_of(self.model) < 13
        if name is not None and before and name in node.attributes:
            values = np.asarray(node.attributes[name], np.int64)
            kept = [a for a in node.proto.attribute if a.name != name]
            del node.proto.attribute[:]
            node.proto.attribute.extend(kept)
            node.proto.input.append(self.constant(f"{node.outputs[0]}_{name}", values))
        self.nodes.append(node.proto)
