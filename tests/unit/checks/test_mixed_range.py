"""Parts of very different range under one scale."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from qdebug.run.model import Run
from tests.support.checked import finding, layer_names, net_run, planted_run, sample_run, table_of
from tests.support.nets import NetBuilder

ROWS = {"x": np.random.default_rng(3).normal(0, 1, (1, 4, 64)).astype(np.float32)}


def joined(axis: int, factor: float, scale: float | None) -> onnx.ModelProto:
    """``[x * factor, sigmoid(x)]`` along an axis, quantized with a scale if there is one."""
    b = NetBuilder(0)
    x = b.input("x", [1, 4, 64])
    loud = b.op("Mul", b.op("Sigmoid", x), b.const(factor))
    result = b.op("Concat", loud, b.op("Sigmoid", b.op("Neg", x)), axis=axis)
    model = b.model(result)
    return model if scale is None else _quantized(model, result, scale)


def _quantized(model: onnx.ModelProto, tensor: str, scale: float) -> onnx.ModelProto:
    graph = model.graph
    ends = {"scale": np.float32(scale), "zero": np.uint8(0)}
    graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in ends.items())
    (maker,) = [n for n in graph.node if tensor in n.output]
    maker.output[0] = f"{tensor}/raw"
    graph.node.append(helper.make_node("QuantizeLinear", [maker.output[0], *ends], ["codes"]))
    graph.node.append(helper.make_node("DequantizeLinear", ["codes", *ends], [tensor]))
    return model


def compared(axis: int, factor: float) -> Run:
    return net_run(joined(axis, factor, None), joined(axis, factor, factor / 255), ROWS)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_part_under_one_step_fails_whatever_the_axis(axis: int) -> None:
    run = compared(axis, 640.0)
    assert run.outputs[0].accumulated is not None
    assert run.outputs[0].accumulated.cosine > 0.9999
    found = finding(run, "mixed-range")
    assert found.status == "fail"
    assert layer_names(run, found) == ["/Concat_0"]
    assert "gets under one step of 2.51" in found.seen
    parts: dict[str, Any] = {row[1]: row for row in table_of(found, "Parts under one scale")}
    assert parts["/Sigmoid_1"][5] == 1
    assert parts["/Mul_0"][5] > 200
    assert found.gain_db is not None
    assert found.gain_db > 30


@pytest.mark.parametrize("model", ["detector", "classifier"])
def test_the_step_is_that_of_the_layer_it_is_told_with(model: str) -> None:
    _, run = planted_run("10 mixed head", model)
    told = re.search(r"of (\S+) in (\S+?)\.( |$)", finding(run, "mixed-range").seen)
    assert told is not None
    (layer,) = [x for x in run.layers if x.name == told[2]]
    assert layer.quant is not None
    assert told[1] == f"{layer.quant.scale:.3g}"


def test_parts_of_like_range_are_no_mixture() -> None:
    assert finding(compared(1, 2.0), "mixed-range").status == "pass"


def test_the_planted_head() -> None:
    _, run = planted_run("10 mixed head")
    found = finding(run, "mixed-range")
    assert layer_names(run, found) == ["planted/head"]
    assert "mislead" in found.seen


@pytest.mark.parametrize("name", ["detector-int8", "detector-qoperator", "classifier-int8"])
def test_sound_models_have_no_mixture(name: str) -> None:
    assert finding(sample_run(name), "mixed-range").status == "pass"


def test_the_detector_s_head() -> None:
    run = sample_run("detector-naive")
    found = finding(run, "mixed-range")
    assert found.status == "fail"
    assert "/model.22/Concat_5" in layer_names(run, found)
    assert "channels 4-9" in found.seen
    assert run.verdict.reason.startswith("mixed-range")
