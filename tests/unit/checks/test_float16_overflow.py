"""Values that float16 cannot hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.checks.check import run_check
from qdebug.checks.float16_overflow import FLOAT16
from qdebug.run.model import Finding
from tests.support.checked import finding, layer_names, net_run, sample_run
from tests.support.contexts import check_context, measured
from tests.support.nets import NetBuilder

X = {"x": np.random.default_rng(5).uniform(1, 2, (1, 4, 8, 8)).astype(np.float32)}


def scaled(factor: float) -> onnx.ModelProto:
    """A product that grows to twice the factor, and comes back."""
    b = NetBuilder(0)
    x = b.input("x", [1, 4, 8, 8])
    large = b.op("Mul", x, b.const(factor))
    return b.model(b.op("Mul", large, b.const(1 / factor)))


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same in float16 between two casts."""
    b = NetBuilder(0)
    x = b.input("x", [1, 4, 8, 8])
    factor = float(numpy_helper.to_array(model.graph.initializer[0]))
    value = b.op("Cast", x, to=onnx.TensorProto.FLOAT16)
    value = b.op("Mul", value, b.const(factor, dtype=np.float16))
    value = b.op("Mul", value, b.const(1 / factor, dtype=np.float16))
    return b.model(b.op("Cast", value, to=onnx.TensorProto.FLOAT))


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_float16_overflow_and_what_becomes_of_it() -> None:
    run = net_run(scaled(60_000.0), half(scaled(60_000.0)), X)
    found = finding(run, "float16-overflow")
    assert found.status == "fail"
    assert layer_names(run, found) == ["/Mul_0"]
    assert "is beyond float16's largest" in found.title
    assert run.verdict.status == "fail"


def judged(peak: float, elem_type: int = TensorProto.FLOAT16) -> Finding:
    """The finding for one layer whose largest value is given, in a quant model of a type."""
    values = np.array([[[peak, 1.0], [-1.0, 0.5]]])
    made = helper.make_tensor_value_info("a", elem_type, [1, 2, 2])
    used = helper.make_tensor_value_info("other", TensorProto.FLOAT16, [1])
    model = helper.make_model(helper.make_graph([], "g", [], [made, used]))
    (found,) = run_check(FLOAT16, check_context([measured("a", values, values)], quant_model=model))
    return found


@pytest.mark.parametrize(
    ("peak", "status"),
    [
        (65_505.0, "fail"),
        (-70_000.0, "fail"),
        (65_504.0, "warn"),
        (32_753.0, "warn"),
        (32_752.0, "pass"),
    ],
)
def test_by_the_largest_value(peak: float, status: str) -> None:
    assert judged(peak).status == status


def test_a_float32_tensor_holds_it() -> None:
    assert judged(1e6, TensorProto.FLOAT).status == "pass"


def test_float16_is_asked_for_in_float16_models_only() -> None:
    run = sample_run("classifier-int8")
    assert finding(run, "float16-overflow").status == "not_applicable"
    assert finding(sample_run("classifier-float16"), "float16-overflow").status == "pass"
