"""Histograms of streams."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.metrics.histogram import PairHistogram, strided_sample
from qdebug.run.arrays import BINS


def test_no_value_is_lost_when_the_range_grows() -> None:
    rng = np.random.default_rng(0)
    histogram = PairHistogram()
    for scale in (1, 100, 3, 1e4):
        values = rng.standard_normal(500).astype(np.float32) * np.float32(scale)
        histogram.add(values, values * np.float32(1.01))
    assert histogram.float.sum() == histogram.quant.sum() == 2000


def test_grown_bins_equal_bins_laid_at_once() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.uniform(*ends, 400).astype(np.float32) for ends in ((0, 1), (-7, 9))]
    histogram = PairHistogram()
    for part in parts:
        histogram.add(part, part)
    low, high = histogram.range
    expected, _ = np.histogram(np.concatenate(parts), bins=BINS, range=(low, high))
    assert np.abs(histogram.float - expected).sum() <= 2  # values on a bin's edge


def test_a_constant_has_a_bin() -> None:
    histogram = PairHistogram()
    histogram.add(np.full(10, 5, np.float32), np.full(10, 5, np.float32))
    assert histogram.float.sum() == 10
    assert histogram.range[0] <= 5 <= histogram.range[1]


def test_values_that_are_not_finite_are_left_out() -> None:
    histogram = PairHistogram()
    histogram.add(np.array([np.nan, 1], np.float32), np.array([np.inf, 2], np.float32))
    assert (histogram.float.sum(), histogram.quant.sum()) == (1, 1)


@pytest.mark.parametrize("shape", [(1, 25200, 85), (1, 64, 160, 160), (7,), (1, 3, 640, 640)])
def test_a_strided_sample_sees_every_column(shape: tuple[int, ...]) -> None:
    columns = np.broadcast_to(np.arange(shape[-1]), shape)
    sample = strided_sample(columns, 4096)
    assert len(sample) <= 4096
    assert set(sample.tolist()) == set(range(shape[-1]))
