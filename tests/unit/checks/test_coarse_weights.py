"""Weights with few levels, and float weights that were quantized before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnxruntime import quantization as q

from qdebug.checks.facts.grids import quantized_before
from qdebug.graph.pairs import WeightPair
from tests.support.checked import finding, net_run, table_of
from tests.support.editor import Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families import CONTROLS, FAMILIES
from tests.support.planting.families.coarse import KINDS, SOUND
from tests.support.planting.families.subjects import planted_at_random

SLUG = "coarse-weights"


def net() -> onnx.ModelProto:
    b = NetBuilder(11)
    x = b.input("image", [1, 3, 16, 16])
    for cin, cout in ((3, 16), (16, 16), (16, 16), (16, 8)):
        x = b.op("Relu", b.conv(x, cin, cout))
    return b.model(b.conv(x, 8, 4, 1))


def quantized(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    step = static(q.QuantFormat.QDQ, **{"weight_type": q.QuantType.QInt8, **options})
    with tempfile.TemporaryDirectory() as name, quiet():
        return step(copied(model), Desk(Path(name), tuple(sample_inputs(model, 4, 1))))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_few_levels_are_named_with_their_bits(kind: str) -> None:
    model = net()
    editor = Editor(quantized(model, per_channel=True))
    (dq,) = [editor.dequantizer(n.input[1]) for n in editor.graph.node if n.name == "/Conv_2"]
    assert dq is not None
    rows = Editor(model).value("const_4").astype(np.float64).reshape(16, -1)
    peaks = np.abs(rows).max(axis=1, keepdims=True)
    codes, scale = KINDS[kind](rows, peaks)
    editor.set(editor.own(dq, 0), codes.reshape(16, 16, 3, 3).astype(np.int8))
    editor.set(editor.own(dq, 1), scale.reshape(-1).astype(np.float32))
    found = finding(net_run(model, editor.model, *sample_inputs(model, 4)), SLUG)
    assert found.status in ("warn", "fail")
    assert found.title.startswith("/Conv_2: the weights have about ")
    ((_, stored, _, bits, _),) = table_of(found, "Coarse weights")
    assert stored == "int8"
    wanted = {"3 bits": 2.8, "scale 12 times too large": 4.4}.get(kind, 4.0)
    assert bits == pytest.approx(wanted, abs=0.4)


@pytest.mark.parametrize("options", [{"per_channel": True}, {"reduce_range": True}, {}])
def test_sound_weights_pass(options: dict[str, Any]) -> None:
    model = net()
    run = net_run(model, quantized(model, **options), *sample_inputs(model, 4))
    assert finding(run, SLUG).status == "pass"


@pytest.mark.parametrize("kind", sorted(SOUND))
def test_another_8_bit_grid_is_no_fault(kind: str) -> None:
    subject, planting = next(
        made
        for seed in range(4, 40)
        if (made := planted_at_random(CONTROLS["finer weights"], seed))[1].kind == kind
    )
    run = net_run(planting.float_model, planting.quant_model, *subject.feeds)
    assert finding(run, SLUG).status == "pass"


def test_a_planted_layer_is_named_in_a_network_drawn_at_random() -> None:
    subject, planting = planted_at_random(FAMILIES["coarse weights"], 59)
    run = net_run(planting.float_model, planting.quant_model, *subject.feeds)
    assert finding(run, SLUG).title.split(":")[0] in planting.truths[0].nodes


def on_a_grid() -> onnx.ModelProto:
    """The float weights are those of a model that was quantized per tensor, asymmetrically."""
    editor = Editor(net())
    for name, tensor in list(editor.constants.items()):
        value = editor.value(name)
        if value.ndim == 4 and len(tensor.dims):
            low, high = float(value.min()) * 1.1, float(value.max())
            step = np.float32((high - low) / 255)
            zero = round(-low / step)
            codes = np.clip(np.rint(value / step) + zero, 0, 255)
            editor.set(name, ((codes - zero) * step).astype(np.float32))
    return editor.model


def test_weights_on_a_grid_are_named_where_they_leave_it() -> None:
    model = on_a_grid()
    found = finding(
        net_run(model, quantized(model, per_channel=True), *sample_inputs(model, 4)), SLUG
    )
    assert "lie on an 8-bit grid already" in found.title
    (first, *_) = table_of(found, "Weights that lie on a grid")
    assert first[1] <= 256
    assert found.status != "fail"


def filters_by_rule() -> onnx.ModelProto:
    """Every weight that could lie on a grid does, and all are ramps: windowed, repeated, turned."""
    way = np.arange(-15.5, 16) / 100
    ramp, box = np.tile(way, (32, 1)), np.ones((32, 32))
    first = np.stack([np.stack([ramp, ramp.T, box * way[at]]) for at in range(0, 24, 3)])
    b = NetBuilder(11)
    x = b.input("image", [1, 3, 64, 64])
    x = b.op("Conv", x, b.const(first), strides=[2, 2])
    x = b.op("Relu", x)
    slope = np.linspace(-1, 1, 49)[:, None, None, None] * np.ones((1, 8, 1, 1)) / 8
    return b.model(b.op("Conv", x, b.const(slope)))


def one_on_a_grid() -> onnx.ModelProto:
    """A rounded weight among others as they were trained."""
    plain, editor = Editor(net()), Editor(on_a_grid())
    name = max(plain.constants, key=lambda name: editor.value(name).size)
    plain.set(name, editor.value(name))
    return plain.model


@pytest.mark.parametrize("make", [filters_by_rule, one_on_a_grid])
def test_filters_on_a_grid_do_not_make_the_model_a_quantized_one(
    make: Callable[[], onnx.ModelProto],
) -> None:
    model = make()
    run = net_run(model, quantized(model, per_channel=True), *sample_inputs(model, 4))
    assert finding(run, SLUG).status == "pass"


def test_most_weights_on_grids_say_so_beside_built_and_plain_ones() -> None:
    weights = [on_grid(seed) for seed in range(3)]
    built = pair_of("ramp", np.tile(np.arange(64.0), (8, 4)))
    plain = [pair_of(f"plain {s}", np.random.default_rng(s).normal(0, 1, (8, 64))) for s in (7, 8)]
    found, judged = quantized_before([*weights, built, *plain])
    assert [pair.float_tensor for pair, _ in found] == ["codes 0", "codes 1", "codes 2"]
    assert judged == 5
    few = [weights[0], *plain, built]
    assert quantized_before(few) == ([], 3)
    shared = [*few, *[weights[0]] * 5]  # one weight that six layers read says it once
    assert quantized_before(shared)[0] == []


def test_a_large_weight_is_judged_by_what_is_not_pruned() -> None:
    """Whole channels are: the first values that are not zero lie far behind."""
    large = [on_grid(seed, rows=2048) for seed in (4, 5)]
    pruned = [np.concatenate([np.zeros((1024, 64)), x.reference[1024:]]) for x in large]
    ramp = np.tile(np.arange(1, 65.0), (1024, 1))
    built = pair_of("ramp", np.concatenate([np.zeros((1024, 64)), ramp]))
    pairs = [pair_of(f"pruned {at}", value) for at, value in enumerate(pruned)]
    found, judged = quantized_before([*pairs, built])
    assert [pair.float_tensor for pair, _ in found] == ["pruned 0", "pruned 1"]
    assert judged == 2


@pytest.mark.parametrize("pruned", [0.0, 0.9])
def test_pruned_weights_are_no_rule(pruned: float) -> None:
    ((_, grid),), _ = quantized_before([on_grid(3, pruned)])
    assert grid.step == pytest.approx(0.01)


def on_grid(seed: int, pruned: float = 0.0, rows: int = 64) -> WeightPair:
    rng = np.random.default_rng(seed)
    codes = np.clip(np.rint(rng.laplace(0, 25, (rows, 64))), -127, 127)
    kept = rng.random(codes.shape) >= pruned
    return pair_of(f"codes {seed}", 0.01 * codes * kept)


def pair_of(name: str, value: npt.NDArray[Any]) -> WeightPair:
    def read() -> npt.NDArray[np.float32]:
        return value.astype(np.float32)

    return WeightPair(name, name, 0, "weight", read, read, None, 0)


def test_weights_that_stay_on_their_grid_pass() -> None:
    model = on_a_grid()
    editor = Editor(model)
    sound = quantized(model)
    twin = Editor(sound)
    for node in twin.graph.node:  # the float weight itself in place of the quantized one
        if node.op_type == "Conv":
            float_node = next(n for n in editor.graph.node if n.name == node.name)
            node.input[1] = float_node.input[1]
            twin.graph.initializer.append(editor.constants[float_node.input[1]])
    run = net_run(model, twin.model, *sample_inputs(model, 4))
    assert finding(run, SLUG).status == "pass"
