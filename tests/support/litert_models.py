"""A small ``.tflite``, built through the schema that LiteRT's wheel brings along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[Any]
Grid = tuple[float, int]
"""Scale and zero point of a tensor of int8 codes."""


def conv_relu_conv(
    file: Path, weights: tuple[Array, Array], shape: tuple[int, ...], grids: Sequence[Grid] = ()
) -> Path:
    """Conv, Relu, Conv with the tensors ``x``, ``a``, ``b`` and ``y``, as NHWC.

    Args:
        file: to write.
        weights: float32, ``[outputs, inputs, height, width]`` as ONNX has them.
        shape: of the input, ``[1, channels, height, width]``.
        grids: of the four tensors, where they and the weights are int8 codes.
    """
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    net = _Net(schema)
    _, channels, height, width = shape
    deep = [channels, *(len(w) for w in weights)]
    given: Sequence[Grid | None] = grids or [None] * 4
    depths = deep[0], deep[1], deep[1], deep[2]
    for name, depth, grid in zip("xaby", depths, given, strict=True):
        net.tensor(name, [1, height, width, depth], grid=grid)
    for name, weight in zip(("w1", "w2"), weights, strict=True):
        net.weight(name, weight.transpose(0, 2, 3, 1), coded=bool(grids))
        net.no_bias(f"bias{name[1]}", len(weight), coded=bool(grids))
    net.conv(["x", "w1", "bias1"], "a")
    net.relu("b", "a")
    net.conv(["b", "w2", "bias2"], "y")
    builder = flatbuffers.Builder(1024)
    builder.Finish(net.model("x", "y").Pack(builder), file_identifier=b"TFL3")
    file.write_bytes(bytes(builder.Output()))
    return file


class _Net:
    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._names: list[str] = []
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._operators: list[Any] = []

    def tensor(
        self, name: str, shape: Sequence[int], data: Array | None = None, grid: Grid | None = None
    ) -> Any:
        made = self._schema.TensorT()
        made.name, made.shape = name, list(shape)
        kind = self._schema.TensorType
        made.type = kind.FLOAT32 if grid is None else kind.INT8
        made.buffer = 0
        if grid is not None:
            made.quantization = self._schema.QuantizationParametersT()
            made.quantization.scale = [grid[0]]
            made.quantization.zeroPoint = [grid[1]]
        if data is not None:
            held = self._schema.BufferT()
            held.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self._buffers)
            self._buffers.append(held)
        self._names.append(name)
        self._tensors.append(made)
        return made

    def weight(self, name: str, value: Array, *, coded: bool) -> None:
        """As float32, or as codes with a scale a channel."""
        if not coded:
            self.tensor(name, value.shape, value.astype(np.float32))
            return
        scales = np.abs(value).max(axis=(1, 2, 3)) / 127
        codes = np.rint(value / scales[:, None, None, None]).astype(np.int8)
        made = self.tensor(name, value.shape, codes, (1.0, 0))
        made.quantization.scale = scales.astype(np.float32).tolist()
        made.quantization.zeroPoint = [0] * len(scales)

    def no_bias(self, name: str, count: int, *, coded: bool) -> None:
        """Zeros: LiteRT's Conv has to have a bias."""
        made = self.tensor(name, [count], np.zeros(count, np.int32 if coded else np.float32))
        if coded:
            made.type = self._schema.TensorType.INT32

    def conv(self, reads: Sequence[str], made: str) -> None:
        options = self._schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = self._schema.Padding.SAME, 1, 1
        kind = self._schema.BuiltinOptions.Conv2DOptions
        self._operator(0, reads, made, kind, options)

    def relu(self, made: str, read: str) -> None:
        self._operator(1, [read], made)

    def _operator(
        self, code: int, reads: Sequence[str], made: str, kind: int = 0, options: Any = None
    ) -> None:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs = [self._names.index(name) for name in reads]
        operator.outputs = [self._names.index(made)]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._operators.append(operator)

    def model(self, fed: str, answer: str) -> Any:
        part = self._schema.SubGraphT()
        part.tensors, part.operators, part.name = self._tensors, self._operators, "main"
        part.inputs, part.outputs = [self._names.index(fed)], [self._names.index(answer)]
        model = self._schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [part], self._buffers
        model.operatorCodes = [self._code("CONV_2D", 3), self._code("RELU", 2)]
        return model

    def _code(self, name: str, version: int) -> Any:
        made = self._schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = getattr(self._schema.BuiltinOperator, name)
        made.version = version
        return made
