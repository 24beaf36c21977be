"""A chain of layers whose channels are of very unequal size, and its twin of one scale a tensor."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime.quantization as q

from qdebug.capture.session import SessionSettings
from qdebug.comparison.quantize import calibrated_twin
from qdebug.cure.balance.links import find_links
from qdebug.cure.float_edit import with_constants
from qdebug.graph.model import Graph
from qdebug.progress import Silent
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import NetBuilder, sample_inputs

Array = npt.NDArray[Any]
SPREAD = np.geomspace(1, 64, 16)
"""Factors planted: the smallest channel has six bits less than the widest."""


def chain(seed: int = 3) -> onnx.ModelProto:
    """Dense, depthwise, dense; channels of one size."""
    b = NetBuilder(seed, 17)
    x = b.op("Relu", b.conv(b.input("x", [1, 3, 16, 16]), 3, 16))
    x = b.op("Relu", b.conv(x, 16, 16, group=16))
    return b.model(b.conv(x, 16, 5, 1))


def grouped_chain(seed: int = 5) -> onnx.ModelProto:
    """Dense, in four groups of four channels, dense."""
    b = NetBuilder(seed, 17)
    x = b.op("Relu", b.conv(b.input("x", [1, 3, 16, 16]), 3, 16))
    x = b.op("Relu", b.conv(x, 16, 16, group=4))
    return b.model(b.conv(x, 16, 5, 1))


def normalized_chain(seed: int = 4) -> onnx.ModelProto:
    """The same with a BatchNormalization behind each of the first two."""
    b = NetBuilder(seed, 17)
    x = b.conv(b.input("x", [1, 3, 16, 16]), 3, 16)
    x = b.conv(b.op("Relu", b.batch_norm(x, 16)), 16, 16, group=16)
    return b.model(b.conv(b.op("Relu", b.batch_norm(x, 16)), 16, 5, 1))


def planted(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with channels of very unequal size in both layers in between."""
    graph = Graph(model, Path("net.onnx"), "")
    values = {t.name: np.asarray(graph.constant(t.name)) for t in model.graph.initializer}
    for turn, link in enumerate(find_links(graph)):
        factors = np.roll(SPREAD, 5 * turn)
        for part in link.makers:
            values[part.tensor] = values[part.tensor] * part.spread(factors, values[part.tensor])
        for part in link.readers:
            values[part.tensor] = values[part.tensor] / part.spread(factors, values[part.tensor])
    return with_constants(graph, {n: v.astype(np.float32) for n, v in values.items()})


def folded_twin(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantized with BatchNormalization in the weights of the Convs, one scale a channel there."""
    graph = Graph(model, Path("net.onnx"), "")
    feeds = sample_inputs(model, 4)
    return calibrated_twin(graph, feeds, "max", SessionSettings(threads=1), Silent()).model


def twin(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantized with one scale a tensor."""
    step = static(q.QuantFormat.QDQ, weight_type=q.QuantType.QInt8, per_channel=False)
    with tempfile.TemporaryDirectory() as name, quiet():
        return step(copied(model), Desk(Path(name), tuple(sample_inputs(model, 4))))
