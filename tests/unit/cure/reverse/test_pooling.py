"""Pooling over windows and over whole axes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.differences import Case, check_case

AVERAGES: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [4, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "strides": [3, 2], "auto_pad": "VALID"},
]
MAXIMA: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "strides": [1, 3], "dilations": [3, 2]},
]


@pytest.mark.parametrize("attributes", AVERAGES, ids=str)
@pytest.mark.parametrize("opset", [10, 19])
def test_average(attributes: dict[str, Any], opset: int) -> None:
    check_case(Case("AveragePool", [(2, 3, 7, 8)], attributes, opset=opset, runtime=True))


def test_average_with_dilations() -> None:
    attributes = {"kernel_shape": [2, 3], "dilations": [2, 3], "pads": [1, 2, 1, 2]}
    check_case(Case("AveragePool", [(1, 2, 7, 9)], attributes, opset=19, runtime=True))


def test_average_along_one_axis() -> None:
    attributes = {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}
    check_case(Case("AveragePool", [(2, 3, 8)], attributes, opset=11))


@pytest.mark.parametrize("attributes", MAXIMA, ids=str)
@pytest.mark.parametrize("opset", [11, 16])
def test_maximum(attributes: dict[str, Any], opset: int) -> None:
    check_case(Case("MaxPool", [(2, 3, 9, 8)], attributes, opset=opset))


def test_maximum_along_one_axis() -> None:
    attributes = {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}
    check_case(Case("MaxPool", [(2, 3, 8)], attributes, opset=10))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("opset", [7, 13])
def test_whole_axes(op: str, opset: int) -> None:
    check_case(Case(op, [(2, 3, 4, 5)], opset=opset))
