"""Whole networks: drawn at random, built by hand, and the trained ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from qdebug.capture.session import SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.reverse import reverse_graph
from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from tests.support.differences import all_tensors, check_inside, check_model
from tests.support.nets import NETS, sample_inputs
from tests.support.random_nets import random_net

SEEDS = (*range(9), 12, 51)
"""Of random networks; every operator that they are drawn from is in one of them."""
_FLOAT = onnx.TensorProto.FLOAT


def some_tensors(model: onnx.ModelProto, seed: int, count: int) -> list[str]:
    """Float tensors inside the network."""
    values = all_tensors(model, sample_inputs(model, 1, seed)[0])
    inside = [o for node in model.graph.node[:-1] for o in node.output]
    real = [name for name in inside if values[name].dtype == np.float32]
    return [str(n) for n in np.random.default_rng(seed).choice(real, count, replace=False)]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_network(seed: int) -> None:
    model = random_net(seed)
    feeds = sample_inputs(model, 1, seed)[0]
    check_model(model, feeds, list(feeds), seed=seed)
    check_inside(model, feeds, some_tensors(model, seed, 2), seed)


@pytest.mark.parametrize("name", NETS)
def test_network_built_by_hand(name: str) -> None:
    model = NETS[name]()
    feeds = sample_inputs(model)[0]
    check_model(model, feeds, list(feeds))
    check_inside(model, feeds, some_tensors(model, 0, 2), 0)


ZOO = [
    ("mobilenetv2", "quant_qdq_minmax_pc.onnx", (1, 3, 224, 224)),
    ("yolov5n", "quant_qdq_minmax_pc.onnx", (1, 3, 640, 640)),
    ("yolox_nano", "quant_qdq_minmax_pc.onnx", (1, 3, 416, 416)),
    ("ppocrv4_rec", "quant_qdq_minmax_pc.onnx", (1, 3, 48, 320)),
    ("ultraface_rfb320", "quant_qdq_minmax_pc.onnx", (1, 3, 240, 320)),
]


@pytest.mark.parametrize(("model", "quant", "shape"), ZOO, ids=str)
def test_every_quantizer_of_a_trained_network_is_reached(
    zoo: Path, model: str, quant: str, shape: tuple[int, ...]
) -> None:
    graph = load_graph(zoo / model / "float.onnx")
    pairing = pair_graphs(graph, load_graph(zoo / model / quant))
    quantized = [p.float_tensor for p in pairing.pairs if p.quantizer is not None]
    feeds = {graph.inputs[0]: np.zeros(shape, np.float32)}
    types = types_for(graph, feeds, SessionSettings(threads=1))
    shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
    reverse = reverse_graph(graph.proto, shapes, quantized, graph.outputs)
    assert not reverse.unreached
    assert len(reverse.gradients) == len(quantized) > 50
