"""Static int8 with ONNX Runtime's own tool, as its users call it, and small graph surgery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16

from sample_models.build.reading import Array

Values = NDArray[np.generic]


class _Samples(CalibrationDataReader):
    """Feeds a list of inputs to the calibrator, once."""

    def __init__(self, name: str, inputs: list[Array]) -> None:
        self._feeds: Iterator[dict[str, Array]] = iter([{name: x} for x in inputs])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def static_int8(
    source: Path,
    target: Path,
    inputs: list[Array],
    in_float: Callable[[NodeProto], bool] = lambda _node: False,
    per_channel: bool = True,
    qoperator: bool = False,
) -> None:
    """Quantizes ``source`` to ``target`` with ranges from minimum and maximum over ``inputs``.

    Args:
        source: the float graph.
        target: the file to write.
        inputs: calibration inputs, as the graph wants them.
        in_float: nodes that stay in float.
        per_channel: one weight scale an output channel, else one a tensor.
        qoperator: QLinearConv and its kin, with uint8 activations and 7-bit weights so that no
            CPU saturates; else QuantizeLinear and DequantizeLinear pairs with int8 activations.
    """
    model = onnx.load(source)
    excluded = [node.name for node in model.graph.node if in_float(node)]
    quantize_static(
        source,
        target,
        _Samples(model.graph.input[0].name, inputs),
        quant_format=QuantFormat.QOperator if qoperator else QuantFormat.QDQ,
        per_channel=per_channel,
        reduce_range=qoperator,
        activation_type=QuantType.QUInt8 if qoperator else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
    )
    _keep_metadata(model, target)


def dynamic_int8(source: Path, target: Path) -> None:
    """Weights in uint8, activations quantized at run time (ConvInteger, MatMulInteger)."""
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
    _keep_metadata(onnx.load(source), target)


def float16(source: Path, target: Path) -> None:
    """Every tensor in float16, float32 at the inputs and outputs."""
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def _keep_metadata(model: onnx.ModelProto, target: Path) -> None:
    """Copies the float graph's metadata, and drops the names of passes the tool adds to it."""
    quantized = onnx.load(target)
    props = {prop.key: prop.value for prop in model.metadata_props}
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, props)
    onnx.save(quantized, target)


class Surgery:
    """A graph opened for one planted fault: initializers and nodes by name, then ``save``."""

    def __init__(self, source: Path) -> None:
        self.model = onnx.load(source)
        self._values = {value.name: value for value in self.model.graph.initializer}

    def node(self, name: str) -> NodeProto:
        """The node of that name."""
        return next(node for node in self.model.graph.node if node.name == name)

    def producer(self, tensor: str) -> NodeProto:
        """The node that writes ``tensor``."""
        return next(node for node in self.model.graph.node if tensor in node.output)

    def value(self, name: str) -> Values:
        """A copy of an initializer."""
        return numpy_helper.to_array(self._values[name]).copy()

    def set_value(self, name: str, array: Values) -> None:
        """Replaces an initializer, or adds it under a new name."""
        tensor: TensorProto = numpy_helper.from_array(array, name)
        if name in self._values:
            self._values[name].CopyFrom(tensor)
        else:
            self.model.graph.initializer.append(tensor)
            self._values[name] = self.model.graph.initializer[-1]

    def quantized_parts(self, conv: str, operand: int) -> tuple[str, str, str]:
        """Names of integers, scale and zero point behind an input of a QDQ Conv.

        Args:
            conv: name of the Conv.
            operand: 1 for its weights, 2 for its bias.
        """
        dequantize = self.producer(self.node(conv).input[operand])
        integers, scale, zero_point = dequantize.input[:3]
        return integers, scale, zero_point

    def save(self, target: Path) -> None:
        """Checks the graph and writes it."""
        onnx.checker.check_model(self.model)
        onnx.save(self.model, target)
