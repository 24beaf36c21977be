"""Moments against plain float64 sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdebug.metrics.metric import FIELDS
from qdebug.metrics.moments import Moments, measure, measure_all

Array = npt.NDArray[Any]


def pair(shape: tuple[int, ...], noise: float = 0.01, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    f = rng.standard_normal(shape).astype(np.float32)
    return f, f + (noise * rng.standard_normal(shape)).astype(np.float32)


def assert_sums(moments: Moments, f: Array, q: Array, axis: int | None) -> None:
    f64, q64 = f.astype(np.float64), q.astype(np.float64)
    e = q64 - f64
    others = None if axis is None else tuple(a for a in range(f.ndim) if a != axis)
    for name, values in {"ff": f64**2, "ee": e**2, "fe": f64 * e, "f": f64, "e": e}.items():
        expected = np.atleast_1d(values.sum(axis=others))
        scale = np.sqrt(np.atleast_1d((values**2).sum(axis=others)) * f.size) + 1e-30
        np.testing.assert_array_less(np.abs(moments[name] - expected) / scale, 1e-13)
    np.testing.assert_allclose(moments.max_abs_e, np.abs(e).max(axis=others), rtol=1e-7)
    for side, values in (("f", f), ("q", q)):
        np.testing.assert_array_equal(getattr(moments, f"min_{side}"), values.min(axis=others))
        np.testing.assert_array_equal(getattr(moments, f"max_{side}"), values.max(axis=others))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1, 16, 40, 40), 1),
        ((2, 7, 33, 5), 1),
        ((1, 300, 85), 2),
        ((4, 10), 1),
        ((1, 3, 2048 + 5), 1),
        ((1, 2, 65536, 9), 1),
        ((1030, 35), 1),
        ((64, 7), 1),
        ((300, 200), 1),
        ((1, 197, 192), 2),
        ((3, 5, 7), None),
        ((2 * 2048 + 1,), None),
        ((), None),
    ],
)
def test_sums_are_those_of_float64(shape: tuple[int, ...], axis: int | None) -> None:
    f, q = pair(shape)
    assert_sums(measure(f, q, axis), f, q, axis)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 3),
    st.sampled_from([1e-20, 1e-3, 1.0, 1e4, 1e18]),
)
def test_any_shape_axis_and_magnitude(dims: list[int], axis: int, scale: float) -> None:
    f, q = pair(tuple(dims))
    f, q = f * np.float32(scale), q * np.float32(scale)
    chosen = axis if axis < len(dims) else None
    moments = measure(f, q, chosen)
    e = q.astype(np.float64) - f
    assert moments.total().ee[0] == pytest.approx((e**2).sum(), rel=1e-5)
    assert moments.n.sum() == f.size


def test_several_pairs_are_measured_as_each_alone() -> None:
    """Rows inside of a tensor, rows side by side in lines of any length, none, and of no value."""
    cases: list[tuple[tuple[int, ...], int | None]] = [
        ((2, 6, 11, 13), 1),
        ((1, 300, 85), 2),
        ((40, 3), 1),
        ((5000,), None),
        ((1, 7, 1, 1), 1),
        ((3, 0, 2), 1),
        ((), None),
    ]
    pairs = [(*pair(shape, seed=at), axis) for at, (shape, axis) in enumerate(cases)]
    for one, found in zip(pairs, measure_all(pairs), strict=True):
        assert np.array_equal(measure(*one).table, found.table)
    assert measure_all([]) == []


def test_channels_add_up_to_the_whole() -> None:
    f, q = pair((2, 6, 11, 13))
    by_channel, whole = measure(f, q, 1).total(), measure(f, q)
    for name in FIELDS:
        assert by_channel[name][0] == pytest.approx(whole[name][0], rel=1e-6)


def test_adding_samples_is_measuring_them_together() -> None:
    f, q = pair((2, 6, 11, 13))
    moments = measure(f[:1], q[:1], 1)
    moments.add(measure(f[1:], q[1:], 1))
    together = measure(f, q, 1)
    for name in FIELDS:
        np.testing.assert_allclose(moments[name], together[name], rtol=1e-6)


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    f, q = pair((1, 2, 100))
    f[0, 0, 3], q[0, 0, 4], q[0, 1, 5] = np.nan, np.inf, -np.inf
    moments = measure(f, q, 1)
    assert moments.nonfinite_f.tolist() == [1, 0]
    assert moments.nonfinite_q.tolist() == [1, 1]
    assert moments.n.tolist() == [98, 99]
    assert np.isfinite([moments[name].sum() for name in FIELDS]).all()


@pytest.mark.parametrize(
    "values",
    [
        [-1.5],
        [-3.0, -0.5, -2.0],
        [0.25, 7.0, 1.0],
        [-0.0, -1e-45, -3e38],
        [0.0, 1e-45, 3e38],
        [-2.0, 0.0, 3.0],
        [0.0, -0.0],
    ],
)
@pytest.mark.parametrize("fill", [1, 700])
def test_extremes_of_either_sign(values: list[float], fill: int) -> None:
    f = np.tile(np.array(values, np.float32), fill)
    q = -f[::-1]
    assert_sums(measure(f, q), f, q, None)
    columns = np.stack([f, q], axis=1)
    assert_sums(measure(columns, -columns, 1), columns, -columns, 1)


def test_nothing_at_all() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert measure(empty, empty, 1).n.tolist() == [0, 0, 0]
    assert measure(empty, empty).total().ff.tolist() == [0]


def test_float32_max_does_not_overflow() -> None:
    f = np.array([-3.4e38, 1.0], np.float32)
    moments = measure(f, f * np.float32(0.5))
    assert moments.ff[0] == pytest.approx(3.4e38**2, rel=1e-6)
    assert moments.nonfinite_q[0] == 0
