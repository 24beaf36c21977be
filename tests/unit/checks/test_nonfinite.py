"""Values that are not finite."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from qdebug.checks.check import run_check
from qdebug.checks.nonfinite import NONFINITE
from qdebug.run.model import Finding
from tests.support.checked import finding, layer_names, net_run
from tests.support.contexts import check_context, measured
from tests.support.nets import NetBuilder

X = {"x": np.random.default_rng(5).uniform(1, 2, (1, 4, 8, 8)).astype(np.float32)}
SOUND = np.linspace(-1, 1, 24).reshape(1, 2, 12)


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


def broken(value: float) -> np.ndarray:
    """The sound values with one in the middle replaced."""
    changed: np.ndarray = SOUND.copy()
    changed[0, 1, 3] = value
    return changed


def judged(float_value: np.ndarray, quant_value: np.ndarray) -> Finding:
    layers = [measured("a", SOUND, SOUND), measured("b", float_value, quant_value)]
    (found,) = run_check(NONFINITE, check_context(layers))
    return found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inside_the_network_only(value: float) -> None:
    found = judged(SOUND, broken(value))
    assert (found.status, found.layers) == ("warn", (1,))
    assert found.title == "b: NaN or infinity, first in the quant run"
    assert "They do not reach an output." in found.seen


def test_where_the_float_run_has_it_too() -> None:
    found = judged(broken(np.inf), broken(np.inf))
    assert found.status == "info"
    assert "first in the float run" in found.title


def test_finite_values_pass() -> None:
    assert judged(SOUND, SOUND + 0.1).status == "pass"
