"""Pairing by values: what agrees on a sample, and what only resembles it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing
from tests.support.nets import Array
from tests.support.truth import Distances, float_values, is_folded, judge, read_values, run
from tests.unit.graph.conftest import build

node = helper.make_node
CHANNELS = 8


def pair_with_values(
    left: onnx.ModelProto, right: onnx.ModelProto, feeds: dict[str, Array]
) -> Pairing:
    """Pair two models that may be run on the same inputs."""
    models = {"float": left, "quant": right}

    def probe(side: Literal["float", "quant"], tensors: Sequence[str]) -> Mapping[str, Array]:
        return run(models[side], feeds, tensors)

    with tempfile.TemporaryDirectory() as text:
        for name, model in models.items():
            onnx.save(model, Path(text) / f"{name}.onnx")
        mine, theirs = (load_graph(Path(text) / f"{name}.onnx") for name in models)
        return pair_graphs(mine, theirs, probe)


def normalized(factor: Array) -> tuple[onnx.ModelProto, onnx.ModelProto, dict[str, Array]]:
    """A convolution and its normalization; the same with the factors in the weights and a sum.

    Both sides then part, so that structure has nothing more to say about the convolution.
    """
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.3, (CHANNELS, 3, 3, 3)).astype(np.float32)
    shift = rng.normal(0, 0.5, CHANNELS).astype(np.float32)
    zeros, ones = np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32)
    parts = ["gamma", "beta", "mean", "variance"]
    left = build(
        [node("Conv", ["x", "w"], ["c"]), node("BatchNormalization", ["c", *parts], ["n"],
              epsilon=0.0), node("Relu", ["n"], ["y"])],
        {"x": [1, 3, 16, 16]}, ["y"],
        {"w": weight, **dict(zip(parts, (factor, shift, zeros, ones), strict=True))},
    )  # fmt: skip
    right = build(
        [node("Conv", ["x", "v"], ["p"]), node("Add", ["p", "b"], ["q"]),
         node("Relu", ["q"], ["z"])],
        {"x": [1, 3, 16, 16]}, ["z"],
        {"v": weight * factor.reshape(-1, 1, 1, 1), "b": shift.reshape(1, -1, 1, 1)},
    )  # fmt: skip
    return left, right, {"x": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}


FACTORS = np.linspace(0.7, 1.3, CHANNELS).astype(np.float32)


@pytest.mark.parametrize("neutral", [True, False])
def test_a_folded_normalization_is_no_counterpart(neutral: bool) -> None:
    """The convolutions differ by a factor per channel: alike, but other values."""
    left, right, feeds = normalized(np.ones_like(FACTORS) if neutral else FACTORS)
    found = {p.float_tensor: p.read for p in pair_with_values(left, right, feeds).pairs}
    expected = {"x": "x", "n": "q", "y": "z"}
    assert found == (expected | {"c": "p"} if neutral else expected)


@pytest.mark.parametrize("neutral", [True, False])
def test_the_truth_knows_a_folded_normalization(neutral: bool) -> None:
    """The bench counts the convolutions as the same where the factors are one, and only there."""
    left, right, feeds = normalized(np.ones_like(FACTORS) if neutral else FACTORS)
    floats, quants = float_values(left, feeds), read_values(right, feeds)
    verdict = judge(pair_with_values(left, right, feeds), Distances(floats, quants))
    assert (verdict.total, verdict.found) == ((4, 4) if neutral else (3, 3))
    assert verdict.wrong == ()


def test_noise_is_no_factor() -> None:
    """As far apart as the factors make them, but by noise: still the same value."""
    left, right, feeds = normalized(np.ones_like(FACTORS))
    noise = np.random.default_rng(5).normal(1, 0.2, (1, CHANNELS, 14, 14)).astype(np.float32)
    right.graph.node[0].output[0] = "exact"
    right.graph.node.insert(1, node("Mul", ["exact", "noise"], ["p"]))
    right.graph.initializer.append(numpy_helper.from_array(noise, "noise"))
    floats, quants = float_values(left, feeds), run(right, feeds, ["p"])
    gap = np.linalg.norm(quants["p"] - floats["c"]) / np.linalg.norm(floats["c"])
    assert gap > 0.15
    assert not is_folded(floats["c"], quants["p"])
    assert is_folded(floats["c"], floats["c"] * FACTORS.reshape(-1, 1, 1))
    found = {p.float_tensor: p.read for p in pair_with_values(left, right, feeds).pairs}
    assert (found["n"], found["y"]) == ("q", "z")
