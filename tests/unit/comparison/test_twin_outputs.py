"""Outputs that the twin lays out otherwise: channels last, or two axes exchanged by mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from qdebug.graph.load import load_graph
from qdebug.graph.pairs import Pair, Pairing, TensorForm
from qdebug.graph.twin_outputs import output_layouts
from qdebug.run.model import Run
from tests.support.checked import causes, net_run, save_pair
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.subjects import random_quantizer
from tests.support.running import direct_sqnr, run_tensors
from tests.support.tunable import network_of

LAST, FIRST = [0, 2, 3, 1], None
SIDE = 16


def _net(perm: list[int] | None) -> onnx.ModelProto:
    b = NetBuilder(5)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, SIDE, SIDE]), 3, 16))
    x = b.conv(x, 16, 5, 1)
    return b.model(x if perm is None else b.op("Transpose", x, perm=perm))


def _run(float_perm: list[int] | None, quant_perm: list[int] | None) -> Run:
    model = _net(float_perm)
    feeds = sample_inputs(model, 4, 1)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    return net_run(model, quantize(_net(quant_perm)), *feeds[:2])


@pytest.mark.parametrize(("mine", "theirs"), [(FIRST, LAST), (LAST, FIRST), (LAST, LAST)])
def test_a_twin_with_channels_elsewhere_is_sound(
    mine: list[int] | None, theirs: list[int] | None
) -> None:
    run = _run(mine, theirs)
    assert run.verdict.status == "pass"
    (output,) = run.outputs
    assert output.accumulated is not None
    assert output.deployed is not None
    assert output.accumulated.sqnr_db > 30
    # optimized and plain int8 differ by a code here and there, axes read wrongly by all of it
    assert output.deployed.sqnr_db == pytest.approx(output.accumulated.sqnr_db, abs=1)


def test_an_output_of_the_same_shape_with_two_axes_exchanged_fails() -> None:
    run = _run(LAST, [0, 3, 2, 1])
    assert run.verdict.status == "fail"
    assert causes(run, "fail") == {"operator-mismatch"}
    first = run.findings[0]
    assert first.title.startswith("/Transpose_0 (Transpose) computes something else: perm ")
    assert first.gain_db is not None
    assert first.gain_db > 20


def test_the_cure_reads_an_output_in_the_float_layout(tmp_path: Path) -> None:
    model = _net(FIRST)
    feeds = sample_inputs(model, 4, 1)
    twin = random_quantizer(np.random.default_rng(0), tuple(feeds))(_net(LAST))
    network = network_of(*save_pair(tmp_path, model, twin))
    (name,) = network.outputs
    built = network.build([name], fixed=network.given)
    found = run_tensors(built.model, feeds[0], [built.outputs[name]])[built.outputs[name]]
    wanted = run_tensors(model, feeds[0], [name])[name]
    assert direct_sqnr(wanted, found.reshape(wanted.shape)) > 30


def test_permutations_are_put_together(tmp_path: Path) -> None:
    b = NetBuilder(1)
    x = b.op("Relu", b.input("x", [2, 3, 4, 5]))
    turned = b.op("Transpose", b.op("Transpose", x, perm=[0, 2, 3, 1]), perm=[3, 0, 1, 2])
    model = b.model(turned)
    file = tmp_path / "net.onnx"
    onnx.save(model, file)
    form = TensorForm(perm=(0, 2, 1, 3))
    pairing = Pairing((Pair("value", x, x, (), None, "name", form, form),), (), (), ())
    layouts = output_layouts({"value": turned}, load_graph(file), pairing)
    value = np.arange(120).reshape(2, 3, 4, 5)
    made = value.transpose([0, 2, 3, 1]).transpose([3, 0, 1, 2])
    np.testing.assert_array_equal(made.transpose(layouts["value"]), value.transpose([0, 2, 1, 3]))
