"""Functions of one tensor, value by value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.differences import Case, all_tensors, check_case, reverse_of, run_reverse

SHAPE = (2, 3, 5, 4)
ERF = np.vectorize(math.erf, otypes=[float])
SLOPES = np.array([[[0.1]], [[0.2]], [[-0.3]]], np.float32)

CASES = [
    Case("Abs", [SHAPE]),
    Case("Cast", [SHAPE], {"to": 1}),
    Case("Celu", [SHAPE], {"alpha": 0.7}),
    Case("Clip", [SHAPE], constants={1: np.float32(-0.5), 2: np.float32(1.1)}),
    Case("Clip", [SHAPE], constants={1: None, 2: np.float32(1.1)}),
    Case("Clip", [SHAPE], {"min": -0.5, "max": 1.1}, opset=9),
    Case("Cos", [SHAPE]),
    Case("Dropout", [SHAPE], opset=11),
    Case("Elu", [SHAPE], {"alpha": 0.7}),
    Case("Erf", [SHAPE], formula=ERF),
    Case("Exp", [SHAPE]),
    Case("Gelu", [SHAPE], opset=20, formula=lambda x: x * (ERF(x / math.sqrt(2)) + 1) / 2),
    Case("Gelu", [SHAPE], {"approximate": "tanh"}, opset=20),
    Case("HardSigmoid", [SHAPE], {"alpha": 0.4, "beta": 0.6}),
    Case("HardSigmoid", [SHAPE], opset=9),
    Case("HardSwish", [SHAPE], low=-5, high=5),
    Case("Identity", [SHAPE]),
    Case("LeakyRelu", [SHAPE], {"alpha": 0.2}),
    Case("LeakyRelu", [SHAPE], opset=8),
    Case("Log", [SHAPE], low=0.1),
    Case("Mish", [SHAPE], opset=18),
    Case("Neg", [SHAPE]),
    Case("PRelu", [SHAPE, (3, 1, 1)]),
    Case("PRelu", [SHAPE], constants={1: SLOPES}, opset=9),
    Case("Reciprocal", [SHAPE], low=0.2),
    Case("Relu", [SHAPE]),
    Case("Relu", [SHAPE], opset=8),
    Case("Selu", [SHAPE]),
    Case("Selu", [SHAPE], {"alpha": 1.5, "gamma": 1.2}),
    Case("Sigmoid", [SHAPE]),
    Case("Sin", [SHAPE]),
    Case("Softplus", [SHAPE]),
    Case("Softsign", [SHAPE]),
    Case("Sqrt", [SHAPE], low=0.1),
    Case("Tanh", [SHAPE]),
    Case("ThresholdedRelu", [SHAPE], {"alpha": 0.5}),
]
OF_MICROSOFT = [
    Case("Gelu", [SHAPE], domain="com.microsoft"),
    Case("QuickGelu", [SHAPE], {"alpha": 1.3}, domain="com.microsoft"),
    Case("FastGelu", [(2, 3, 4), (4,)], domain="com.microsoft"),
    Case("FastGelu", [(2, 3, 4)], domain="com.microsoft"),
    Case("BiasGelu", [(2, 3, 4), (4,)], domain="com.microsoft"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivative(case: Case) -> None:
    check_case(case)


@pytest.mark.parametrize("case", OF_MICROSOFT, ids=str)
def test_derivative_of_onnx_runtimes_own(case: Case) -> None:
    """They have no reference implementation: one value by one, in float32 with a wide step."""
    feeds = case.feeds(0)
    model = case.model()
    gradients = run_reverse(
        reverse_of(model, feeds, list(feeds)), feeds, {"y0": np.ones(case.shapes[0])}
    )
    step = np.float32(2e-2)
    for name in feeds:
        up, down = (
            all_tensors(model, {**feeds, name: feeds[name] + way * step})["y0"] for way in (1, -1)
        )
        slope = (up.astype(np.float64) - down) / (2 * step)
        if slope.shape != feeds[name].shape:
            slope = slope.sum(axis=(0, 1))
        np.testing.assert_allclose(gradients[name], slope, atol=2e-3)


def test_where_no_derivative_exists_none_is_invented() -> None:
    feeds = {"x0": np.zeros(SHAPE, np.float32)}
    reverse = reverse_of(Case("Sqrt", [SHAPE]).model(), feeds, ["x0"])
    assert not run_reverse(reverse, feeds, {"y0": np.ones(SHAPE)})["x0"].any()
