"""Weights and biases that are not the float model's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from qdebug.checks.check import run_check
from qdebug.checks.weight_mismatch import WEIGHT_MISMATCH
from qdebug.graph.pairing import pair_graphs
from tests.support.checked import finding, net_run, planted_run, sample_run, table_of
from tests.support.contexts import check_context, graph_of
from tests.support.editor import Editor
from tests.support.flavours.quantizers import quiet
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.subjects import random_quantizer

SLUGS = ("weight-mismatch", "bias-clipped", "wrong-model")


@pytest.mark.parametrize("name", ["classifier-int8", "detector-dynamic", "detector-qoperator"])
def test_sound_weights_pass(name: str) -> None:
    run = sample_run(name)
    assert [finding(run, slug).status for slug in SLUGS] == ["pass"] * 3
    assert sum(f.slug == "weight-mismatch" for f in run.findings) == 1


@pytest.mark.parametrize(
    ("fault", "role", "detail"),
    [
        ("18 bias zeroed", "bias", "zero"),
        ("18 weight rolled", "weight", "rolled by 1 output channel"),
    ],
)
def test_all_channels(fault: str, role: str, detail: str) -> None:
    found = finding(planted_run(fault)[1], "weight-mismatch")
    ((layer, of, _, told, worst),) = table_of(found, "What differs")
    assert (of, told) == (role, detail)
    assert layer in found.title
    assert worst < 10


def test_a_rescaled_channel_is_named_with_its_factor() -> None:
    found = finding(sample_run("classifier-channel-scale"), "weight-mismatch")
    ((layer, _, channels, told, _),) = table_of(found, "What differs")
    assert layer == "/features/features.4/project/conv/Conv"
    assert channels == "5"
    factor = float(told.removeprefix("rescaled by "))
    assert factor == pytest.approx(4, rel=0.02)
    assert "channel 5 of" in found.seen


def test_a_pass_says_how_many_were_compared() -> None:
    found = finding(sample_run("classifier-int8"), "weight-mismatch")
    compared, total = (int(n) for n in found.seen.split(" weights")[0].split(" of "))
    assert compared == total > 10
    assert "biases were compared" in found.seen


def test_a_pass_of_some_weights_does_not_speak_of_all() -> None:
    b = NetBuilder(3)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 8, 8]), 3, 8))
    model = b.model(b.conv(b.op("Relu", b.conv(x, 8, 8)), 8, 4))
    graph = graph_of(model)
    pairing = replace(pair_graphs(graph, graph), uncompared=("/Conv_1",))
    kept = tuple(w for w in pairing.weights if graph.nodes[w.node].label != "/Conv_1")
    context = check_context(
        float_model=model, quant_model=model, pairing=replace(pairing, weights=kept)
    )
    (found,) = run_check(WEIGHT_MISMATCH, context)
    assert found.status == "pass"
    assert found.title.startswith("2 of 3 weights and 2 of 2 biases compared")
    assert "Without a counterpart: the weight of `/Conv_1`" in found.seen


@pytest.mark.parametrize("dtype", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("rolled", [False, True])
def test_codes_whose_scales_are_applied_behind_are_held_against_each_channel(
    rolled: bool, dtype: QuantType
) -> None:
    b = NetBuilder(3)
    product = b.op("MatMul", b.input("rows", [4, 12]), b.weight(12, 16, fan_in=12))
    model = b.model(b.op("Add", product, b.const(b.rng.normal(0, 0.2, 16))))
    model.graph.initializer[0].CopyFrom(_with_uneven_columns(model.graph.initializer[0]))
    with tempfile.TemporaryDirectory() as name, quiet():
        source, target = Path(name, "a.onnx"), Path(name, "b.onnx")
        onnx.save(model, source)
        quantize_dynamic(source, target, per_channel=True, weight_type=dtype)
        twin = onnx.load(target)
    if rolled:
        codes = next(t for t in twin.graph.initializer if list(t.dims) == [12, 16])
        value = np.roll(numpy_helper.to_array(codes), 1, axis=1)
        codes.CopyFrom(numpy_helper.from_array(value, codes.name))
    found = finding(net_run(model, twin, *sample_inputs(model, 4)), "weight-mismatch")
    assert found.status == ("fail" if rolled else "pass")


def _with_uneven_columns(tensor: onnx.TensorProto) -> onnx.TensorProto:
    value = numpy_helper.to_array(tensor) * np.geomspace(0.05, 5, 16, dtype=np.float32)
    return numpy_helper.from_array(value, tensor.name)


def _siamese() -> onnx.ModelProto:
    """Two inputs through the same three weights, and what they differ in."""
    b = NetBuilder(3)
    weights = [b.weight(12, 3, 3, 3), b.weight(16, 12, 3, 3)]
    last, ends = b.weight(16, 8, fan_in=16), []
    for name in ("left", "right"):
        x = b.input(name, [1, 3, 16, 16])
        for weight in weights:
            x = b.op("Relu", b.op("Conv", x, weight, kernel_shape=[3, 3], pads=[1] * 4))
        ends.append(b.op("MatMul", b.op("ReduceMean", x, axes=[2, 3], keepdims=0), last))
    return b.model(b.op("Sub", *ends))


@pytest.mark.parametrize("count", [1, 2])
def test_a_weight_that_several_layers_read_is_one_fault_and_no_other_model(count: int) -> None:
    model = _siamese()
    feeds = sample_inputs(model, 3, 1)
    twin = Editor(random_quantizer(np.random.default_rng(0), tuple(feeds))(model))
    makers = [twin.dequantizer(n.input[1]) for n in twin.graph.node if n.op_type == "Conv"]
    codes = dict.fromkeys(maker.input[0] for maker in makers if maker is not None)
    for name in list(codes)[:count]:
        twin.set(name, np.roll(twin.value(name), 1, axis=0))
    run = net_run(model, twin.model, *feeds)
    found = [f for f in run.findings if f.status == "fail"]
    assert {f.slug for f in found} == {"weight-mismatch"}
    assert len(found) == count
    told = " and 1 more layer: the weight is not the float model's (rolled by 1 output channel)"
    assert all(told in f.title and len(f.layers) == 2 for f in found)
