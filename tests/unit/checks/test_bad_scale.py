"""Scales that are no usable number."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from qdebug.checks.bad_scale import BAD_SCALE
from qdebug.checks.check import run_check
from tests.support.checked import finding, net_run, table_of
from tests.support.contexts import check_context
from tests.support.editor import Editor
from tests.support.graphs import SIDE, float_model, qdq_model

IMAGE = {"images": np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)}


def with_scale(value: float, reader: str = "QuantizeLinear") -> onnx.ModelProto:
    """The small twin with another first scale that a kind of node reads."""
    editor = Editor(qdq_model())
    node = next(n for n in editor.graph.node if n.op_type == reader)
    name = editor.own(node, 1)
    editor.set(name, np.full_like(editor.value(name), value))
    return editor.model


@pytest.mark.parametrize(
    ("value", "word"), [(np.inf, "infinite"), (np.nan, "NaN"), (-0.01, "negative")]
)
def test_a_scale_that_is_no_number_fails(value: float, word: str) -> None:
    (found,) = run_check(BAD_SCALE, check_context(quant_model=with_scale(value)))
    assert found.status == "fail"
    ((_, _, told, lost),) = table_of(found, "Scales")
    assert (told, lost) == (word, "its values")


def test_usable_scales_pass() -> None:
    (found,) = run_check(BAD_SCALE, check_context(quant_model=qdq_model()))
    assert found.status == "pass"


def test_what_carries_a_broken_scale_is_named() -> None:
    found = finding(net_run(float_model(), with_scale(np.inf), IMAGE), "bad-scale")
    assert found.status == "fail"
    assert found.layers


def test_a_tiny_scale_of_weights_that_are_nothing_harms_nothing() -> None:
    floats, quant = Editor(float_model()), Editor(qdq_model())
    weight = next(n for n in quant.graph.node if n.op_type == "Conv").input[1]
    dequantizer = quant.dequantizer(weight)
    assert dequantizer is not None
    codes = quant.value(dequantizer.input[0])
    scale = np.full(len(codes), quant.value(dequantizer.input[1]), np.float32)
    scale[2] = 1e-40
    quant.set(quant.own(dequantizer, 1), scale)
    quant.set(quant.own(dequantizer, 2), np.zeros(len(codes), codes.dtype))
    dequantizer.attribute.append(onnx.helper.make_attribute("axis", 0))
    value = np.array(floats.value("w1"))
    value[2] *= 1e-30
    floats.set("w1", value)
    found = finding(net_run(floats.model, quant.model, IMAGE), "bad-scale")
    assert found.status == "info"
    assert "denormal in channel 2" in found.seen
    assert "nothing is lost" in found.seen
    alive = finding(net_run(float_model(), quant.model, IMAGE), "bad-scale")
    assert alive.status == "fail"
