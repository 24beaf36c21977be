"""Overflow, values that are not finite, saturation, optimizations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from qdebug.checks.check import CheckContext, run_check
from qdebug.checks.numerics import RUNTIME
from tests.support.checked import finding, layer_names, net_run, sample_run
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


def test_near_float16_s_limit_is_a_warning() -> None:
    run = net_run(scaled(20_000.0), half(scaled(20_000.0)), X)
    assert finding(run, "float16-overflow").status == "warn"


def logarithm(offset: float) -> onnx.ModelProto:
    """The logarithm of the input less an offset, and what follows from it."""
    b = NetBuilder(0)
    x = b.input("x", [1, 4, 8, 8])
    return b.model(b.op("Mul", b.op("Log", b.op("Sub", x, b.const(offset))), b.const(2.0)))


def test_the_first_layer_that_is_not_finite() -> None:
    ones = {"x": np.where(X["x"] > 1.5, X["x"], 1).astype(np.float32)}
    run = net_run(logarithm(0.5), logarithm(1.0), ones)
    found = finding(run, "nonfinite")
    assert found.status == "fail"
    assert layer_names(run, found) == ["/Log_0", "/Mul_0"]
    assert found.title.startswith("/Log_0: NaN or infinity, first in the quant run")
    assert run.verdict.status == "fail"


def test_small_values_fit() -> None:
    run = net_run(scaled(100.0), half(scaled(100.0)), X)
    assert finding(run, "float16-overflow").status == "pass"
    assert finding(run, "nonfinite").status == "pass"


def test_float16_is_asked_for_in_float16_models_only() -> None:
    run = sample_run("classifier-int8")
    assert finding(run, "float16-overflow").status == "not_applicable"
    assert finding(sample_run("classifier-float16"), "float16-overflow").status == "pass"


def test_optimizations_that_change_the_answer() -> None:
    run = sample_run("classifier-int8")
    (output,) = run.outputs
    declared = output.accumulated
    assert declared is not None
    assert finding(run, "runtime-mismatch").status == "pass"

    def deployed(db: float) -> str:
        metrics = replace(declared, sqnr_db=db)
        given = [replace(output, deployed=metrics, runtime=metrics)]
        context = CheckContext(None, None, None, run.layers, (), given, ())  # type: ignore[arg-type]
        return run_check(RUNTIME, context)[0].status

    assert [deployed(db) for db in (31.0, 16.0, 14.0, 5.0, float("nan"))] == [
        "pass",
        "pass",
        "warn",
        "fail",
        "fail",
    ]
