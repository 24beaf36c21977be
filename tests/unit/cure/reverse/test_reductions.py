"""Sums, means, extremes, norms and Softmax over axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.differences import Case, check_case, reverse_of, run_reverse

OPS = "Sum Mean Max Min L1 L2 SumSquare LogSum LogSumExp".split()
SHAPE = (2, 3, 4)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "attributes",
    [{"axes": [1]}, {"axes": [-1, 0], "keepdims": 0}, {}, {"keepdims": 0, "axes": [2]}],
    ids=str,
)
def test_axes_as_attribute(op: str, attributes: dict[str, Any]) -> None:
    opset = 11 if op == "Sum" else 13
    check_case(Case(f"Reduce{op}", [SHAPE], attributes, opset=opset, low=0.3))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("keep", [0, 1])
def test_axes_as_input(op: str, keep: int) -> None:
    axes = {1: np.array([-1, 1], np.int64)}
    check_case(Case(f"Reduce{op}", [SHAPE], {"keepdims": keep}, axes, opset=18, low=0.3))


def flat_log_softmax(x: Any) -> Any:
    """As before operator set 13, from axis 1 on."""
    total = np.log(np.exp(x).sum(axis=(1, 2), keepdims=True))
    return x - total


CASES = [
    Case("ReduceSum", [SHAPE], {"noop_with_empty_axes": 1}, opset=13),
    Case("Softmax", [SHAPE], opset=13),
    Case("Softmax", [SHAPE], {"axis": 1}, opset=13),
    Case("Softmax", [SHAPE], opset=11, formula=lambda x: np.exp(flat_log_softmax(x))),
    Case("Softmax", [SHAPE], {"axis": 2}, opset=11),
    Case("LogSoftmax", [SHAPE], opset=13),
    Case("LogSoftmax", [SHAPE], {"axis": 1}, opset=12, formula=flat_log_softmax),
    Case("LpNormalization", [SHAPE], {"axis": 1}),
    Case("CumSum", [SHAPE], constants={1: np.int64(1)}),
    Case("CumSum", [SHAPE], {"reverse": 1, "exclusive": 1}, constants={1: np.int64(2)}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivative(case: Case) -> None:
    check_case(case)


def test_the_norm_of_nothing_has_no_direction() -> None:
    feeds = {"x0": np.zeros(SHAPE, np.float32)}
    case = Case("ReduceL2", [SHAPE], {"axes": [1]}, opset=13)
    reverse = reverse_of(case.model(), feeds, ["x0"])
    assert not run_reverse(reverse, feeds, {"y0": np.ones((2, 1, 4))})["x0"].any()
