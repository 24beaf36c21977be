"""Channels that set the range of all others."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import quantization as q

from qdebug.checks.outlier_channel import find_outliers
from qdebug.run.model import Run
from tests.support.checked import finding, layer_names, net_run, sample_run
from tests.support.contexts import check_context, measured, step_of
from tests.support.editor import Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.weights import scale_channel

EARLY = "/features/features.1/dw/conv/Conv"


def channels(*peaks: float) -> np.ndarray:
    """Values of some channels, evenly spread up to each one's peak."""
    return np.array(peaks)[None, :, None] * np.linspace(-1, 1, 101)


@pytest.mark.parametrize(
    ("peaks", "step", "found"),
    [
        pytest.param([1, 1, 80, 1], 0.6, (2,), id="one of four"),
        pytest.param([1, 1, 7.9, 1], 0.6, None, id="not large enough"),
        pytest.param([1, 1, 80, 1], 0.1, None, id="a step fine enough for the others"),
        pytest.param([1, 80, 80, 1, 1], 0.6, None, id="two of five are no exception"),
        pytest.param([1, 80, 1], 0.6, None, id="three channels are too few to tell"),
        pytest.param([0, 80, 0, 0], 0.6, None, id="the others hold nothing"),
    ],
)
def test_what_an_outlier_is(peaks: list[float], step: float, found: tuple[int, ...] | None) -> None:
    values = channels(*peaks)
    outliers = find_outliers(
        check_context([measured("a", values, values, quantizer=step_of(step))])
    )
    assert [outlier.channels for outlier in outliers] == ([] if found is None else [found])


@pytest.mark.parametrize(("codes", "found"), [(256, [(2,)]), (256 * 188, [])])
def test_a_range_wider_than_every_channel_is_set_by_none(
    codes: int, found: list[tuple[int, ...]]
) -> None:
    """A step of 0.6 in a range that the loudest channel fills, and in one 188 times as wide."""
    values = channels(1, 1, 80, 1)
    wide = replace(step_of(0.6), low=-codes // 2, high=codes // 2 - 1)
    context = check_context([measured("a", values, values, quantizer=wide)])
    assert [outlier.channels for outlier in find_outliers(context)] == found


def test_the_most_harmed_first() -> None:
    values = channels(1, 1, 80, 1)
    layers = [measured(str(s), values, values, quantizer=step_of(s)) for s in (0.6, 1.2, 0.9)]
    assert [outlier.at for outlier in find_outliers(check_context(layers))] == [1, 2, 0]


def test_the_outlier_channel_is_named_and_explains_the_wide_range() -> None:
    run = sample_run("classifier-outlier-channel")
    found = finding(run, "outlier-channel")
    assert (found.status, layer_names(run, found)) == ("fail", [EARLY])
    assert found.title.startswith(f"{EARLY}: channel ")
    wide = finding(run, "range-too-wide")
    assert wide.status == "info"
    assert "QD403 outlier-channel" in wide.seen
    bars = next(e.data for e in found.evidence if e.kind == "bars")
    assert bars["values"][0] > 8 * bars["values"][1]


def test_without_it() -> None:
    assert finding(sample_run("classifier-int8"), "outlier-channel").status == "pass"


def loud_channel(times: float) -> Run:
    """A channel that is loud in a Conv's weights, under one scale, and so in the Conv's tensor.

    The next Conv reads it with as much less, so that the float model computes what it did.
    """
    b = NetBuilder(3)
    x = str(b.op("Relu", b.conv(b.input("image", [1, 3, 24, 24]), 3, 8)))
    loud = str(b.op("Relu", b.conv(x, 8, 8)))
    float_model = b.model(str(b.op("Relu", b.conv(loud, 8, 8))))
    editor = Editor(float_model)
    convs = [node for node in editor.graph.node if node.op_type == "Conv"]
    for slot in (1, 2):
        scale_channel(editor, convs[1].input[slot], 5, times)
    weight = np.array(editor.value(convs[2].input[1]))
    weight[:, 5] /= np.float32(times)
    editor.set(convs[2].input[1], weight)
    feeds = sample_inputs(editor.model, 4, 3)
    with tempfile.TemporaryDirectory() as name, quiet():
        quant = static(weight_type=q.QuantType.QInt8)(
            copied(editor.model), Desk(Path(name), tuple(feeds))
        )
    return net_run(editor.model, quant, *feeds[:2])


def test_weights_and_tensor_are_tried_together() -> None:
    found = finding(loud_channel(200.0), "outlier-channel")
    assert found.status in ("fail", "warn")
    assert "have to be mended together" in found.seen
    assert found.gain_db is not None
    assert found.gain_db > 6


def test_an_even_layer_needs_neither() -> None:
    found = finding(loud_channel(1.0), "outlier-channel")
    assert found.status == "pass"
