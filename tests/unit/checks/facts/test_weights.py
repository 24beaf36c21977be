"""Weights of both models, side by side."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.checks.facts.weights import (
    channels_at_limit,
    is_other_model,
    row_cosines,
    unless_other_model,
    weight_rows,
)
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import rows_db
from tests.support.contexts import check_context

Array = npt.NDArray[Any]
RNG = np.random.default_rng(4)


def pair_of(
    f: Array,
    q: Array,
    *,
    axis: int = 0,
    folded: Array | None = None,
    role: Literal["weight", "bias"] = "weight",
) -> WeightPair:
    return WeightPair(
        float_tensor="w",
        quant_tensor="w_q",
        node=0,
        role=role,
        read_float=lambda: f,
        read_quant=lambda: q,
        quantizer=None,
        channel_axis=axis,
        folded=folded,
    )


def test_numbers_of_rows() -> None:
    f = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    q = np.array([[3.0, 4.5], [1.0, 0.0], [0.0, 1.0]])
    assert rows_db(f, q)[:2] == pytest.approx([20.0, np.inf])
    assert rows_db(f, q)[2] == -np.inf
    assert row_cosines(f, q)[1] == 1
    assert np.isnan(row_cosines(f, q)[2])


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_channels_with_what_was_folded_applied(axis: int) -> None:
    weight = RNG.normal(0, 1, (3, 3, 2)).astype(np.float32)
    factor = np.array([1.0, 2.0, 0.5], np.float32)
    scaled = np.moveaxis(np.moveaxis(weight, axis, -1) * factor, -1, axis)
    pair = pair_of(weight, scaled, axis=axis, folded=factor)
    assert pair.reference.dtype == np.float32
    assert np.array_equal(pair.reference, scaled)
    f, q = weight_rows(pair)
    assert f.shape == (3, 6)
    assert np.array_equal(f, q)
    assert np.array_equal(f[2], np.take(weight, 2, axis).reshape(-1) * 0.5)


def test_a_bias_of_one_number_serves_all_channels() -> None:
    f, q = weight_rows(pair_of(np.ones(1, np.float32), np.ones(3, np.float32), role="bias"))
    assert f.shape == q.shape == (3, 1)


@pytest.mark.parametrize(
    ("codes", "role", "channels"),
    [
        (np.array([5, 2**31 - 1, -(2**31)], np.int32), "bias", [1, 2]),
        (np.array([5, 2**31 - 257, 0], np.int32), "bias", []),
        (np.array([127, -128], np.int8), "bias", []),
        (np.array([2**31 - 1], np.int32), "weight", []),
    ],
)
def test_channels_of_a_bias_at_the_limit(
    codes: Array, role: Literal["weight", "bias"], channels: list[int]
) -> None:
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "g", [], [out], [numpy_helper.from_array(codes, "w_q")])
    context = check_context(quant_model=helper.make_model(graph))
    assert channels_at_limit(context, pair_of(codes, codes, role=role)).tolist() == channels


@pytest.mark.parametrize(("foreign", "other"), [(0, False), (1, False), (2, True), (4, True)])
def test_a_model_is_another_one_by_half_of_its_weights(foreign: int, other: bool) -> None:
    values = [RNG.normal(0, 1, (8, 9)).astype(np.float32) for _ in range(4)]
    quant = [RNG.normal(0, 1, v.shape) if at < foreign else v for at, v in enumerate(values)]
    context = check_context(weights=[pair_of(*both) for both in zip(values, quant, strict=True)])
    assert is_other_model(context) is other
    assert (unless_other_model(context) is not None) is other


def test_one_weight_is_no_proof() -> None:
    values = RNG.normal(0, 1, (2, 8, 9)).astype(np.float32)
    assert not is_other_model(check_context(weights=[pair_of(values[0], values[1])]))
