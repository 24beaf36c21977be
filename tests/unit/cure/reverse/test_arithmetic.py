"""Functions of several tensors, with broadcasting."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.differences import Case, check_case

BROADCASTS = [
    [(2, 3, 4), (2, 3, 4)],
    [(2, 3, 4), (3, 1)],
    [(1, 4), (2, 3, 1)],
    [(2, 3, 4), ()],
    [(), (2, 3)],
]


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("opset", [7, 13])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_four_rules(op: str, opset: int, shapes: list[tuple[int, ...]]) -> None:
    check_case(Case(op, shapes, opset=opset, low=0.5))


CASES = [
    Case("Add", [(2, 3)], constants={1: np.array([1, 2, 3], np.float32)}),
    Case("Div", [(3,)], constants={0: np.array([[1, 2, 3], [4, 5, 6]], np.float32)}, low=0.5),
    Case("Max", [(2, 3), (3,), (2, 1)]),
    Case("Max", [(2, 3)], constants={1: np.float32(0)}, opset=8),
    Case("Min", [(2, 3), (2, 3)]),
    Case("Min", [(2, 3), (2, 3)], opset=8),
    Case("Mean", [(2, 3), (3,), (2, 1)]),
    Case("Sum", [(2, 3), (3,), (2, 1)]),
    Case("Sum", [(2, 3)]),
    Case("Pow", [(2, 3)], constants={1: np.float32(2)}),
    Case("Pow", [(2, 3)], constants={1: np.float32(3)}),
    Case("Pow", [(2, 3)], constants={1: np.array([0.5, 2, -1], np.float32)}, low=0.5),
    Case("Pow", [(2, 3)], constants={1: np.float32(-0.5)}, low=0.5),
    Case("Pow", [(2, 3), (3,)], low=0.5),
    Case("Where", [(2, 3), (3,)], constants={0: np.array([[True], [False]])}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivative(case: Case) -> None:
    check_case(case)
