"""Ranges behind an operator that computes something else: made with it, or a fault of their own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import quantization as q

from qdebug.run.model import Run
from tests.support.checked import finding, net_run
from tests.support.editor import Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import NetBuilder, sample_inputs


def _gated(*, exchanged: bool) -> onnx.ModelProto:
    """Channels weighted by how far their largest value is above their mean, or the other way."""
    b = NetBuilder(12)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8))
    ends = [b.op(op, x, axes=[2, 3], keepdims=1) for op in ("ReduceMax", "ReduceMean")]
    gate = b.op("Sigmoid", b.op("Sub", *(ends[::-1] if exchanged else ends)))
    return b.model(b.conv(b.op("Mul", x, gate), 8, 4, 1))


def _run(shrunk: float = 1.0) -> Run:
    """Calibrated with the operands exchanged; then one range made so much narrower."""
    model = _gated(exchanged=False)
    feeds = sample_inputs(model, 4, 1)
    step = static(q.QuantFormat.QDQ, weight_type=q.QuantType.QInt8, per_channel=True)
    with tempfile.TemporaryDirectory() as name, quiet():
        twin = Editor(step(copied(_gated(exchanged=True)), Desk(Path(name), tuple(feeds))))
    scale = "/Mul_0_output_0_scale"
    twin.set(scale, twin.value(scale) * np.float32(shrunk))
    return net_run(model, twin.model, *feeds)


def test_ranges_of_values_that_no_float_value_is_among_follow_from_the_operator() -> None:
    """The gate is above a half in the float model, and below everywhere in the twin."""
    run = _run()
    gate = next(layer for layer in run.layers if layer.float_tensor == "/Sigmoid_0_output_0")
    assert gate.accumulated is not None
    found = finding(run, "operator-mismatch")
    assert found.status == "fail"
    assert run.layers[found.layers[0]].float_tensor == "/Sub_0_output_0"
    clipping = finding(run, "activation-clipping")
    assert gate.index in clipping.layers
    assert clipping.status == "info"


@pytest.mark.parametrize("shrunk", [0.05, 0.1])
def test_a_range_that_cuts_the_twins_own_values_off_is_a_fault_beside_it(shrunk: float) -> None:
    run = _run(shrunk)
    clipping = finding(run, "activation-clipping")
    assert clipping.status in ("warn", "fail")
    assert run.layers[clipping.layers[0]].float_tensor == "/Mul_0_output_0"
