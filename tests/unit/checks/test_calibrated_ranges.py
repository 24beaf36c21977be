"""Ranges beside an input that calibration saw otherwise: which of them follow from that."""

from __future__ import annotations

import functools
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

CALIBRATED = 0.57
"""Calibration saw inputs so much smaller: a ratio that no normalization explains."""
FOLLOWS = "This follows from QD121 calibration-range."


@functools.cache
def net() -> onnx.ModelProto:
    b = NetBuilder(12)
    x = b.input("image", [1, 3, 16, 16])
    for cin, cout in ((3, 8), (8, 8), (8, 8)):
        x = b.op("Relu", b.conv(x, cin, cout))
    return b.model(b.conv(x, 8, 4, 1))


def run_with(calibrated: float, stretched: float = 1.0) -> Run:
    """Calibrated on scaled inputs; then one range made so much wider."""
    model = net()
    feeds = sample_inputs(model, 4, 1)
    given = [{name: v * np.float32(calibrated) for name, v in feed.items()} for feed in feeds]
    step = static(q.QuantFormat.QDQ, weight_type=q.QuantType.QInt8, per_channel=True)
    with tempfile.TemporaryDirectory() as name, quiet():
        twin = Editor(step(copied(model), Desk(Path(name), tuple(given))))
    if stretched != 1:
        scale = next(n for n in twin.graph.initializer if n.name == "/Relu_1_output_0_scale")
        twin.set(scale.name, twin.value(scale.name) * np.float32(stretched))
    return net_run(model, twin.model, *feeds)


def test_ranges_calibrated_with_the_input_follow_from_it() -> None:
    run = run_with(CALIBRATED)
    assert finding(run, "calibration-range").status == "warn"
    ranges = [f for f in run.findings if f.slug in ("activation-clipping", "range-too-wide")]
    assert {f.status for f in ranges} <= {"info", "pass"}
    assert any(f.seen.endswith(FOLLOWS) for f in ranges)


@pytest.mark.parametrize("calibrated", [CALIBRATED, 2.2])
def test_a_stretched_range_does_not(calibrated: float) -> None:
    run = run_with(calibrated, 30.0)
    assert finding(run, "calibration-range").status == "warn"
    found = finding(run, "range-too-wide")
    assert found.status in ("warn", "fail")
    assert run.layers[found.layers[0]].float_tensor == "/Relu_1_output_0"
