"""Operators that move values, pick them or put them somewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.differences import Case, check_case


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


SHAPE = (2, 6, 4)
SLICES = [
    (ints(1), ints(5), ints(1), ints(1)),
    (ints(0), ints(6), ints(1), ints(2)),
    (ints(1, 1), ints(99, -1), ints(1, 2), ints(3, 1)),
    (ints(-1), ints(-99), ints(1), ints(-1)),
    (ints(4), ints(0), ints(1), ints(-2)),
    (ints(-4), ints(-1), ints(-2), ints(1)),
]
CASES = [
    Case("Reshape", [SHAPE], constants={1: ints(0, -1)}),
    Case("Squeeze", [(1, 3, 1)], constants={1: ints(0)}, opset=13),
    Case("Squeeze", [(1, 3, 1)], {"axes": [2]}, opset=11),
    Case("Unsqueeze", [(2, 3)], constants={1: ints(0, 2)}, opset=13),
    Case("Flatten", [SHAPE], {"axis": 2}),
    Case("Transpose", [SHAPE], {"perm": [2, 0, 1]}),
    Case("Transpose", [SHAPE]),
    Case("Expand", [(6, 1)], constants={1: ints(2, 6, 4)}),
    Case("Tile", [SHAPE], constants={1: ints(2, 1, 3)}),
    Case("Concat", [SHAPE, (2, 1, 4), SHAPE], {"axis": 1}),
    Case("Concat", [SHAPE, SHAPE], {"axis": -1}, opset=9),
    Case("Split", [SHAPE], {"axis": 1}, {1: ints(1, 3, 2)}, outputs=3, seen=(0, 1, 2)),
    Case("Split", [SHAPE], {"axis": 1}, {1: ints(1, 3, 2)}, outputs=3, seen=(2,)),
    Case("Split", [SHAPE], {"axis": 1, "split": [2, 4]}, opset=11, outputs=2, seen=(1,)),
    Case("Slice", [SHAPE], {"starts": [1, 0], "ends": [5, 3], "axes": [1, 2]}, opset=9),
    Case("Slice", [SHAPE], constants={1: ints(0, 1), 2: ints(2, 5)}, opset=10),
    *(Case("Slice", [SHAPE], constants=dict(enumerate(s, 1)), opset=13) for s in SLICES),
    Case("Pad", [SHAPE], constants={1: ints(0, 1, 2, 0, 0, 1)}),
    Case("Pad", [SHAPE], constants={1: ints(0, 1, 2, 0, 0, 1), 2: np.float32(3)}),
    Case("Pad", [SHAPE], {"pads": [0, 1, 2, 0, 0, 1]}, opset=10),
    Case("Pad", [SHAPE], {"mode": "reflect"}, {1: ints(0, 3, 2, 0, 5, 3)}),
    Case("Pad", [SHAPE], {"mode": "edge"}, {1: ints(0, 9, 1, 0, 2, 0)}),
    Case("Pad", [SHAPE], {"mode": "wrap"}, {1: ints(0, 3, 1, 0, 2, 0)}, opset=19),
    Case("Pad", [SHAPE], {}, {1: ints(0, -1, 1, 0, -2, 0)}, runtime=True),
    Case("Pad", [SHAPE], {}, {1: ints(2, 1), 2: None, 3: ints(-2)}, opset=18),
    Case("DepthToSpace", [(2, 12, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [(2, 12, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", [(2, 3, 4, 6)], {"blocksize": 2}),
    Case("Trilu", [(2, 4, 4)], {"upper": 0}, {1: np.int64(1)}),
    Case("Gather", [SHAPE], {"axis": 1}, {1: ints(3, 0, 3, -1)}, opset=11),
    Case("Gather", [SHAPE], {"axis": 1}, {1: np.int64(2)}),
    Case("Gather", [SHAPE], {"axis": 2}, {1: np.array([[0, 1], [1, 3]])}),
    Case("Gather", [SHAPE], {"axis": 1}, {1: np.array([2] * 12 + [5])}),
    Case("GatherElements", [SHAPE], {"axis": 1}, {1: np.array([[[0, 1, -1, 1]] * 3] * 2)}),
    Case("GatherElements", [SHAPE], {"axis": 2}, {1: np.array([[[3, 3]] * 6] * 2)}, opset=11),
    Case("GatherND", [SHAPE], constants={1: np.array([[0, 1], [1, -1], [0, 1]])}),
    Case("GatherND", [SHAPE], constants={1: np.array([[0, 1, 2], [1, 5, 0]])}, opset=12),
    Case("ScatterND", [SHAPE, (2, 4)], constants={1: np.array([[0, 1], [1, 5]])}),
    Case("ScatterElements", [SHAPE, (2, 1, 4)], {"axis": 1}, {1: np.full((2, 1, 4), 2)}),
    Case("TopK", [SHAPE], {"axis": 1}, {1: ints(3)}, outputs=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivative(case: Case) -> None:
    check_case(case)
