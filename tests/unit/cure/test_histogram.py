"""Costs from the histogram against quantizing every value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.cure.histogram import BINS, GradientHistogram

Array = npt.NDArray[Any]


def values(kind: str, seed: int = 0, size: int = 40000) -> Array:
    rng = np.random.default_rng(seed)
    drawn = {
        "normal": rng.normal(0, 1, size),
        "one-sided": np.maximum(rng.normal(0, 3, size), 0),
        "long tails": rng.standard_t(2.5, size),
        "mixed": np.where(rng.random(size) < 0.9, rng.random(size), rng.uniform(0, 640, size)),
        "tiny": rng.normal(0, 1e-20, size),
    }
    return np.asarray(drawn[kind], np.float32)


def quantized(x: Array, low: float, high: float, bits: int) -> Array:
    """With a zero point that is whole, as quantizers have it."""
    step = (high - low) / (2**bits - 1)
    zero = np.round(-low / step)
    codes = np.clip(np.round(x / step) + zero, 0, 2**bits - 1)
    return np.asarray((codes - zero) * step)


def filled(kind: str, runs: int = 3) -> tuple[GradientHistogram, list[tuple[Array, Array]]]:
    histogram, given = GradientHistogram(), []
    for seed in range(runs):
        x = values(kind, seed)
        g = np.random.default_rng(seed + 9).normal(0, 1 + np.abs(x) / np.abs(x).max()).astype("f4")
        histogram.add(x.reshape(100, 400), g.reshape(100, 400))
        given.append((x, g))
    return histogram, given


def brute(given: list[tuple[Array, Array]], low: float, high: float, bits: int) -> float:
    sums = [
        ((g.astype(float) * (quantized(x.astype(float), low, high, bits) - x)) ** 2).sum()
        for x, g in given
    ]
    return float(np.mean(sums))


@pytest.mark.parametrize("kind", ["normal", "one-sided", "long tails", "mixed", "tiny"])
@pytest.mark.parametrize("share", [1.0, 0.6, 0.2, 0.05])
@pytest.mark.parametrize("bits", [8, 4])
def test_cost_of_a_range(kind: str, share: float, bits: int) -> None:
    histogram, given = filled(kind)
    low, high = share * min(histogram.low, 0), share * histogram.high
    step = (high - low) / (2**bits - 1)
    low = np.round(low / step) * step  # so that the zero point is whole
    high = low + step * (2**bits - 1)
    truth = brute(given, low, high, bits)
    assert histogram.cost(low, high, bits) == pytest.approx(truth, rel=0.06)


def test_sixteen_bits() -> None:
    histogram, given = filled("normal")
    step = (histogram.high - histogram.low) / 65535
    low = np.round(histogram.low / step) * step
    high = low + 65535 * step
    assert histogram.cost(low, high, 16) == pytest.approx(brute(given, low, high, 16), rel=0.02)


def test_a_grid_of_ranges_at_once() -> None:
    histogram, _ = filled("normal")
    lows, highs = np.meshgrid(np.linspace(-4, -1, 5), np.linspace(1, 4, 6), indexing="ij")
    costs = histogram.cost(lows, highs, 8)
    assert costs.shape == (5, 6)
    assert costs[2, 3] == histogram.cost(lows[2, 3], highs[2, 3], 8)


def test_zeros_cost_nothing_inside_a_range() -> None:
    histogram = GradientHistogram()
    x = np.zeros(1000, np.float32)
    x[:10] = 2.0
    histogram.add(x, np.ones(1000, np.float32))
    step = 4 / 255
    assert histogram.cost(0.0, 4.0, 8) == pytest.approx(10 * step**2 / 12)
    assert (histogram.zeros, histogram.zero_weight) == (990, 990)


def test_nothing_but_zeros() -> None:
    histogram = GradientHistogram()
    histogram.add(np.zeros(5, np.float32), np.ones(5, np.float32))
    assert histogram.cost(-1, 1) == 0
    assert (histogram.low, histogram.high, histogram.radius) == (0, 0, 0)
    histogram.add(np.full(5, 3, np.float32), np.ones(5, np.float32))
    assert histogram.counts.sum() == 10
    assert histogram.counts[BINS // 2] == 5


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    histogram = GradientHistogram()
    x = np.array([1, np.nan, np.inf, 2], np.float32)
    histogram.add(x, np.array([1, 1, 1, np.inf], np.float32))
    assert histogram.lost == 3
    assert histogram.counts.sum() == 1
    assert (histogram.low, histogram.high) == (1, 2)


def test_merging_is_adding() -> None:
    whole, given = filled("long tails", 4)
    parts = []
    for x, g in given:
        part = GradientHistogram()
        part.add(x, g)
        parts.append(part)
    merged = GradientHistogram.merged(parts)
    assert (merged.radius, merged.runs, merged.low) == (whole.radius, whole.runs, whole.low)
    np.testing.assert_allclose(merged.weights, whole.weights)
    assert merged.cost(-2, 3) == pytest.approx(float(whole.cost(-2, 3)))


def test_the_plain_histogram_is_the_tensors_own_error() -> None:
    histogram, given = filled("one-sided")
    ones = [(x, np.ones_like(x)) for x, _ in given]
    step = 4 / 255
    assert histogram.plain().cost(0.0, 4.0) == pytest.approx(brute(ones, 0.0, 4.0, 8), rel=0.02)
    assert step > 0
