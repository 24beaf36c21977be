"""Resize in all its modes: its reverse is the transposed matrix of what ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.differences import Case, check_case

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
SHAPE = (1, 2, 5, 6)
HOW = [{"scales": [1, 1, 2, 3]}, {"scales": [1, 1, 0.6, 1.7]}, {"sizes": [1, 2, 9, 4]}]
TWICE = {1: np.array([1, 1, 2, 2], np.float32)}
ROI = np.array([0, 0, 0.1, 0.2, 1, 1, 0.8, 0.9], np.float32)


def resize(
    mode: str,
    scales: Any = None,
    sizes: Any = None,
    opset: int = 13,
    shape: tuple[int, ...] = SHAPE,
    **more: Any,
) -> Case:
    crops = more.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    constants: dict[int, Any] = {1: ROI if crops else np.zeros(0, np.float32)}
    if scales is not None:
        constants[2] = np.float32(scales)
    else:
        constants |= {2: None, 3: np.array(sizes, np.int64)}
    return Case("Resize", [shape], {"mode": mode, **more}, constants, opset=opset, runtime=True)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "how",
    [{"scales": [1, 1, 2, 3]}, {"scales": [1, 1, 0.6, 1.7]}, {"sizes": [1, 2, 9, 4]}],
    ids=str,
)
def test_coordinates(mode: str, coordinates: str, how: dict[str, Any]) -> None:
    check_case(resize(mode, coordinate_transformation_mode=coordinates, **how))


CASES = [
    *(
        resize("nearest", [1, 1, 1.5, 0.7], nearest_mode=rounding)
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    resize("cubic", [1, 1, 2, 2], cubic_coeff_a=-0.5),
    resize("cubic", [1, 1, 2, 2], exclude_outside=1),
    resize("linear", [1, 1, 0.4, 0.5], antialias=1, opset=18),
    resize("cubic", [1, 1, 0.4, 0.5], antialias=1, opset=18),
    resize("linear", [2, 1.5], axes=[2, 3], opset=18),
    resize("linear", [1, 1, 2], shape=(1, 2, 5)),
    resize("linear", [1, 1, 2, 1.5, 2], shape=(1, 2, 3, 4, 3)),
    resize("nearest", [1, 2, 2, 2]),
    Case("Resize", [SHAPE], {"mode": "nearest"}, TWICE, 10, runtime=True),
    Case("Upsample", [SHAPE], {"mode": "linear"}, TWICE, 9, runtime=True),
    Case("Upsample", [SHAPE], {"mode": "nearest", "scales": [1.0, 1, 2, 2]}, {}, 7, runtime=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_spellings(case: Case) -> None:
    check_case(case)
