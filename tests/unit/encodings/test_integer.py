"""Exact sums of codes, and what becomes of a half."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from qdebug.encodings.integer import Rounding, Window, conv_sums, pool_sums, rescaled

WINDOWS = [
    Window(),
    Window((2, 1), (1, 0, 2, 1)),
    Window((1, 1), (2, 2, 2, 2), (2, 2)),
    Window((2, 2), (1, 1, 1, 1), group=2),
    Window(group=4),
]


@pytest.mark.parametrize("window", WINDOWS)
def test_sums_are_those_of_onnx(window: Window) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (2, 4, 9, 8))
    weight = rng.integers(-128, 128, (8, 4 // window.group, 3, 2))
    attributes: dict[str, Any] = {
        "strides": window.strides,
        "pads": window.pads,
        "dilations": window.dilations,
        "group": window.group,
    }
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None) for n in "xw"],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)],
    )
    feeds = {"x": codes.astype(np.float64), "w": weight.astype(np.float64)}
    (expected,) = ReferenceEvaluator(helper.make_model(graph)).run(None, feeds)
    assert (conv_sums(codes, weight, window) == expected).all()
    moved = conv_sums(codes + 7, weight, window, zero_point=7)
    assert (moved == expected).all()


def test_windows_of_a_pool_are_summed() -> None:
    codes = np.arange(16).reshape(1, 1, 4, 4)
    assert pool_sums(codes, (2, 2), Window((2, 2))).ravel().tolist() == [10, 18, 42, 50]


def by_definition(value: Fraction, rounding: Rounding) -> int:
    if rounding == "down":
        return floor(value)
    if rounding == "half_up":
        return floor(value + Fraction(1, 2))
    if rounding == "half_away":
        sign = -1 if value < 0 else 1
        return sign * floor(abs(value) + Fraction(1, 2))
    return round(value)


@pytest.mark.parametrize("rounding", ["down", "half_up", "half_away", "half_even"])
@pytest.mark.parametrize("shift", [0, 1, 3, 7])
def test_what_is_shifted_out_is_rounded(rounding: Rounding, shift: int) -> None:
    sums = np.arange(-70, 71)
    expected = [by_definition(Fraction(int(s) * 3, 2**shift), rounding) for s in sums]
    assert rescaled(sums, 3, shift, rounding).tolist() == expected
