"""A resolution thrown away in one layer is a warning wherever it costs something."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import onnx
import pytest

from qdebug.analysis.what_if import Gain, Part
from qdebug.checks.facts.effect import slip_status
from qdebug.run.model import Run
from tests.support.checked import finding, net_run
from tests.support.contexts import check_context
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.coarse import KINDS, SOUND
from tests.support.planting.families.family import Subject
from tests.support.planting.families.subjects import random_quantizer
from tests.support.planting.planted import parts
from tests.support.planting.ranges import rescale_input

FINE_DB = 30.0
"""What every output here has left."""


@functools.cache
def residual() -> Subject:
    """A Conv whose result is a small part of the output."""
    b = NetBuilder(3)
    x = b.input("image", [1, 3, 24, 24])
    x = str(b.op("Relu", b.conv(x, 3, 8)))
    side = b.conv(b.op("Relu", b.conv(x, 8, 8)), 8, 8)
    out = b.op("Add", x, b.op("Mul", side, b.const(0.15)))
    float_model = b.model(out)
    feeds = tuple(sample_inputs(float_model, 4, 3))
    quantize = random_quantizer(np.random.default_rng(0), feeds)
    return Subject("residual", float_model, quantize(float_model), feeds, quantize)


def run_with(quant_model: onnx.ModelProto) -> Run:
    run = net_run(residual().float_model, quant_model, *residual().feeds)
    for output in run.outputs:
        assert output.accumulated is not None
        assert output.accumulated.sqnr_db > FINE_DB
    return run


def stretched(factor: float) -> onnx.ModelProto:
    """The range of the last Conv's input, so many times as wide."""
    editor = Editor(residual().quant_model)
    (node,) = [n for n in editor.graph.node if n.name == "/Conv_2"]
    return rescale_input(editor, residual().float_model, node, factor, "").quant_model


def coarse(kind: str) -> onnx.ModelProto:
    """The last Conv's weights on another grid."""
    editor = Editor(residual().quant_model)
    (node,) = [n for n in editor.graph.node if n.name == "/Conv_2"]
    _, (_, weight, _) = parts(editor, node.output[0])
    floats = Editor(residual().float_model)
    (twin,) = [n for n in floats.graph.node if n.name == "/Conv_2"]
    value = floats.value(twin.input[1]).astype(np.float64)
    rows = value.reshape(len(value), -1)
    stored, scale = editor.value(weight.input[0]), editor.value(weight.input[1])
    peaks = np.abs(rows).max(axis=1, keepdims=True)
    peaks = peaks if scale.size > 1 else np.full_like(peaks, peaks.max())
    codes, scales = {**KINDS, **SOUND}[kind](rows, peaks)
    editor.set(editor.own(weight, 0), codes.reshape(stored.shape).astype(stored.dtype))
    new = (
        scales.reshape(scale.shape)
        if scale.size > 1
        else scales.reshape(-1)[:1].reshape(scale.shape)
    )
    editor.set(editor.own(weight, 1), new.astype(np.float32))
    return editor.model


@pytest.mark.parametrize(("factor", "status"), [(30.0, "warn"), (5.0, "info"), (1.0, "pass")])
def test_a_range_far_too_wide(factor: float, status: str) -> None:
    """Nothing is worth a warning that costs less than 3 dB."""
    found = finding(run_with(stretched(factor)), "range-too-wide")
    assert found.status == status


@pytest.mark.parametrize(
    ("kind", "status"), [("4 bits", "warn"), ("7 bits, reduced range", "pass")]
)
def test_weights_of_few_levels(kind: str, status: str) -> None:
    assert finding(run_with(coarse(kind)), "coarse-weights").status == status


def test_what_constants_tell_is_not_doubted_for_few_samples() -> None:
    part = Part("out")
    gain = Gain(part, before=36.0, after=44.0, samples=2, spread=9.0)
    context = check_context()
    assert slip_status(context, gain) == "info"
    assert slip_status(context, gain, certain=True) == "warn"
    assert slip_status(context, replace(gain, before=51.0, after=59.0), certain=True) == "info"
    assert slip_status(context, replace(gain, after=38.0), certain=True) == "info"


def with_bias_lost(model: onnx.ModelProto) -> onnx.ModelProto:
    """The bias of the last Conv is zero."""
    editor = Editor(model)
    (node,) = [n for n in editor.graph.node if n.name == "/Conv_2"]
    _, (_, _, bias) = parts(editor, node.output[0])
    name = editor.own(bias, 0)
    editor.set(name, np.zeros_like(editor.value(name)))
    return editor.model


def test_what_costs_more_than_a_fault_that_fails_the_run_fails_it_too() -> None:
    pair = residual()
    alone, both, other = (
        net_run(pair.float_model, model, *pair.feeds)
        for model in (
            stretched(60.0),
            with_bias_lost(stretched(60.0)),
            with_bias_lost(pair.quant_model),
        )
    )
    assert finding(alone, "range-too-wide").status == "warn"
    assert finding(other, "weight-mismatch").status == "fail"
    first, second = both.findings[:2]
    assert (first.slug, first.status) == ("range-too-wide", "fail")
    assert first.seen.endswith("It costs more by itself than another fault that fails the run.")
    assert (second.slug, second.status) == ("weight-mismatch", "fail")
