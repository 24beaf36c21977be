"""Inputs of one graph as another one takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from qdebug.preprocess import PreprocessSpec, prepare_file
from tests.support.nets import Array

NORMALIZATION = (100.0, 50.0)
"""Mean and standard deviation of graphs that normalize their inputs themselves."""


def prepared(pictures: Sequence[Path], spec: str) -> list[Array]:
    """Every picture as a model takes it."""
    parsed = PreprocessSpec.parse(spec)
    return [prepare_file(picture, parsed).tensor for picture in pictures]


def feeds_for(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """The float graph's inputs as another graph takes them, by order.

    Transposed to NHWC, repeated for a larger batch, quantized, or with the graph's own
    normalization undone, whatever its inputs call for.
    """
    stored = {t.name for t in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in stored]
    pairs = zip(infos, feeds.values(), strict=True)
    return {info.name: _feed_for(model, info, value) for info, value in pairs}


def _feed_for(model: onnx.ModelProto, info: onnx.ValueInfoProto, value: Array) -> Array:
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    if any(f"{info.name}_ready" in node.output for node in model.graph.node):
        value = np.float32(NORMALIZATION[0]) + value * np.float32(NORMALIZATION[1])
    if not _is_float(info):
        value = _codes(model, info.name, value)
    if len(dims) == 4 and dims[0] == value.shape[0] and tuple(dims) != value.shape:
        value = np.ascontiguousarray(value.transpose(0, 2, 3, 1))
    return np.repeat(value, max(dims[0], 1) // value.shape[0], axis=0)


def _codes(model: onnx.ModelProto, name: str, value: Array) -> Array:
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    reader = next(node for node in model.graph.node if name in node.input)
    scale, zero = (stored[n] for n in reader.input[1:3])
    bounds = np.iinfo(zero.dtype)
    codes: Array = np.clip(np.rint(value / scale) + zero, bounds.min, bounds.max)
    return codes.astype(zero.dtype)


def _is_float(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
