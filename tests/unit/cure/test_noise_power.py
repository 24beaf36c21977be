"""Noise power from gradients of random signs, against what the errors really make."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.cure.noise_power import Products, Sums

Array = npt.NDArray[Any]
SHAPE = (1, 24, 12, 10)
CHANNELS, POSITIONS = 24, 120


def total(gradients: Array, error: Array, axis: int | None = 1) -> Sums:
    """Over draws of the gradient."""
    products, sums = Products(), Sums()
    for gradient in gradients:
        sums.add(products.sums(gradient, error, axis))
    return sums


def draws(seed: int, count: int = 4) -> Array:
    """Gradients without any relation between their elements."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *SHAPE)).astype(np.float32)


def test_the_sums_are_what_they_are_called() -> None:
    (gradient,), error = draws(0, 1), draws(1, 1)[0]
    terms = (gradient.astype(np.float64) * error).reshape(CHANNELS, POSITIONS)
    found = total(gradient[None], error)
    assert found.alone == pytest.approx((terms**2).sum())
    assert found.channels == pytest.approx((terms.sum(axis=1) ** 2).sum())
    assert found.positions == pytest.approx((terms.sum(axis=0) ** 2).sum(), rel=1e-5)
    assert found.channels_null == pytest.approx(((terms**2).sum(axis=1) ** 2).sum())
    assert found.positions_null == pytest.approx(((terms**2).sum(axis=0) ** 2).sum())


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_channels_may_lie_on_any_axis(axis: int) -> None:
    """With what is before and behind them as positions, several pictures of a batch among them."""
    gradient, error = (np.concatenate([draws(seed, 1)[0]] * 2) for seed in (0, 1))
    terms = np.moveaxis(gradient.astype(np.float64) * error, axis, 0)
    terms = terms.reshape(terms.shape[0], -1)
    found = Products().sums(gradient, error, axis)
    assert found.channels == pytest.approx((terms.sum(axis=1) ** 2).sum(), rel=1e-5)
    assert found.positions == pytest.approx((terms.sum(axis=0) ** 2).sum(), rel=1e-5)


def test_independent_errors_are_summed_one_by_one() -> None:
    """And what chance adds is little: a draw of the whole sum is off by as much as it is large."""
    found = [total(draws(seed), draws(100 + seed, 1)[0]) for seed in range(20)]
    assert all(0.7 < sums.noise / sums.alone < 1.4 for sums in found)
    assert sum(sums.noise == sums.alone for sums in found) >= 14  # a test is wrong in one of 20


def test_an_error_along_each_channel_counts_with_all_its_pairs() -> None:
    """As that of a weight does, where the gradient points one way all along the channel."""
    rng = np.random.default_rng(0)
    along = rng.standard_normal((16, 1, CHANNELS, 1, 1)).astype(np.float32)
    gradients = np.broadcast_to(along, (16, *SHAPE)) + 0.5 * draws(1, 16)
    error = np.broadcast_to(rng.standard_normal((1, CHANNELS, 1, 1)), SHAPE).astype(np.float32)
    sums = total(gradients, error)
    truth = 16 * float((error[0, :, 0, 0].astype(np.float64) ** 2).sum()) * POSITIONS**2
    assert sums.noise == pytest.approx(truth, rel=0.25)
    assert sums.alone < truth / 50


def test_an_error_at_each_position_counts_with_all_its_pairs() -> None:
    rng = np.random.default_rng(0)
    at = rng.standard_normal((16, 1, 1, *SHAPE[2:])).astype(np.float32)
    gradients = np.broadcast_to(at, (16, *SHAPE)) + 0.5 * draws(1, 16)
    error = np.broadcast_to(rng.standard_normal((1, 1, *SHAPE[2:])), SHAPE).astype(np.float32)
    sums = total(gradients, error)
    truth = 16 * float((error[0, 0].astype(np.float64) ** 2).sum()) * CHANNELS**2
    assert sums.noise == pytest.approx(truth, rel=0.25)
    assert sums.alone < truth / 10


def test_without_channels_an_error_that_is_the_same_everywhere_counts_whole() -> None:
    rng = np.random.default_rng(0)
    gradients = 1 + rng.standard_normal((16, 5000)).astype(np.float32)
    sums = total(gradients, np.ones(5000, np.float32), None)
    assert sums.noise == pytest.approx(16 * 5000**2, rel=0.1)


def test_errors_that_cancel_along_each_channel_count_less() -> None:
    gradients = np.ones((4, *SHAPE), np.float32)
    error = np.tile(np.array([1, -1], np.float32), POSITIONS * CHANNELS // 2).reshape(SHAPE)
    error[:, ::2] *= -1  # along each position, too
    sums = total(gradients, error)
    assert 0 <= sums.noise < 1e-6 * sums.alone


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_no_scale_is_too_small_or_too_large(scale: float) -> None:
    """Squares of float32 reach from 1e-38 to 1e38 only."""
    gradients, error = draws(0), draws(1, 1)[0]
    one = total(gradients, error)
    other = total(gradients * np.float32(scale), error * np.float32(scale))
    assert other.noise == pytest.approx(one.noise * scale**4, rel=1e-4)


def test_no_error_makes_no_noise() -> None:
    sums = total(draws(0), np.zeros(SHAPE, np.float32))
    assert sums == Sums()
    assert sums.noise == 0
    assert Products().sums(np.float32(2), np.float32(3), None).noise == 36
