"""Methods against a search over all values, on distributions whose best range is known."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.cure.divergence import divergences
from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.thresholds import METHODS

RNG = np.random.default_rng(0)
LAPLACE = RNG.laplace(0, 1, 200_000).astype(np.float32)


def histogram(values: np.ndarray, gradient: np.ndarray | None = None) -> GradientHistogram:
    made = GradientHistogram()
    made.add(values, np.ones_like(values) if gradient is None else gradient)
    return made


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    codes = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step))
    return float(((codes * step - values) ** 2).sum())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stays_within_what_was_seen_and_holds_zero(name: str) -> None:
    for values in (
        LAPLACE,
        np.abs(LAPLACE),
        -np.abs(LAPLACE),
        LAPLACE + 3,
        np.zeros(9, np.float32),
    ):
        found = histogram(values)
        low, high = METHODS[name](found, 8)
        width = max(found.radius, 1e-9) / 1000
        assert min(found.low, 0) - width <= low <= 0 <= high <= max(found.high, 0) + width


@pytest.mark.parametrize("name", ["MSE2", "OCTAV", "ACIQ Laplace"])
def test_least_squares_are_found(name: str) -> None:
    """A Laplace distribution: every way to the least squared error comes near the best cut."""
    best = min(squared_error(LAPLACE, -t, t) for t in np.linspace(4, 14, 101))
    low, high = METHODS[name](histogram(LAPLACE), 8)
    assert squared_error(LAPLACE, low, high) < 1.1 * best


def test_percentiles_cut_the_tail_of_one_side_only() -> None:
    values = np.linspace(0, 100, 100_001, dtype=np.float32)
    low, high = METHODS["PERCENT99.9"](histogram(values), 8)
    assert low == 0
    assert high == pytest.approx(99.9, abs=0.1)


def test_weights_decide_what_is_cut() -> None:
    """Large values that move the output by nothing are given up, and only by G2."""
    values = np.concatenate([RNG.uniform(-1, 1, 10_000), [50.0] * 20]).astype(np.float32)
    gradient = np.where(values > 10, 1e-4, 1.0).astype(np.float32)
    found = histogram(values, gradient)
    assert METHODS["G2"](found, 8)[1] < 2
    assert METHODS["MSE2"](found, 8)[1] > 20


def test_divergence_is_least_where_nothing_is_lost() -> None:
    """Counts up to bin 300 and nothing beyond: cutting below loses mass, far above resolution."""
    counts = np.zeros(2048)
    counts[:300] = RNG.integers(50, 100, 300)
    found = divergences(counts, 4)
    assert found.shape == (3, (2048 - 128) // 4 + 1)
    for row in found:
        assert 128 + 4 * int(np.argmin(row)) < 320
