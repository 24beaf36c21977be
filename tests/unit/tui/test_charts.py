"""Charts: their geometry, not their looks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdebug.reporters import heights
from qdebug.tui import charts
from qdebug.tui.context import Look
from qdebug.tui.glyphs import ASCII, UNICODE
from qdebug.tui.palette import DARK, palette_of


@pytest.fixture
def look() -> Look:
    return Look(UNICODE, palette_of(DARK))


@pytest.mark.parametrize("count", [1, 3, 7, 50, 99, 100, 101, 5000])
@pytest.mark.parametrize("columns", [1, 9, 100])
def test_every_position_lies_in_the_column_that_shows_it(count: int, columns: int) -> None:
    for position in range(count):
        column = heights.column_of(position, count, columns)
        assert 0 <= column < columns
        assert position in charts.positions_of(column, count, columns)


def test_a_column_shows_its_worst_position() -> None:
    levels = np.zeros(1000)
    levels[777] = 0.9
    shown = heights.binned_worst(levels, 60)
    assert shown[heights.column_of(777, 1000, 60)] == 0.9
    assert np.count_nonzero(shown) == 1
    assert np.isnan(heights.binned_worst(np.full(10, np.nan), 5)).all()


def test_worse_sqnr_means_a_higher_bar() -> None:
    levels = [heights.error_level(v) for v in (math.inf, 60.0, 30.0, 20.0, 5.0, -math.inf)]
    assert levels == sorted(levels)
    assert levels[0] == 0.0
    assert levels[-1] == 1.0
    assert math.isnan(heights.error_level(math.nan))


def test_resampling_keeps_the_sum() -> None:
    counts = np.arange(64.0)
    for columns in (10, 64, 130):
        assert charts.resample(counts, columns).sum() == pytest.approx(counts.sum())


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_histogram_is_as_large_as_asked(glyphs: object) -> None:
    assert isinstance(glyphs, type(UNICODE))
    look = Look(glyphs, palette_of(DARK))
    series = {"float": [0, 5, 9, 2], "quant": [0, 9, 5, 2]}
    lines = charts.two_sided_histogram([-2, -1, 0, 1, 2], series, {"end": 1.5}, 40, 5, look)
    assert all(line.cell_len <= 40 for line in lines)
    assert sum(any(c in glyphs.levels[1:] for c in line.plain) for line in lines[1:6]) == 5
    assert "end 1.5" in lines[-1].plain
    if glyphs.ascii_only:
        assert all(line.plain.isascii() for line in lines)


def test_the_fullest_bin_of_the_histogram_reaches_the_top(look: Look) -> None:
    series = {"float": [1, 1, 8, 1]}
    lines = charts.two_sided_histogram([0, 1, 2, 3, 4], series, {}, 18, 4, look)
    top = lines[1].plain
    assert set(top[9:13]) == {"█"}
    assert top.strip() == "████"


def test_bars_are_scaled_to_the_largest_and_survive_nan(look: Look) -> None:
    lines = charts.bars(["a", "b", "c"], [10.0, 5.0, math.nan], "dB", 40, look)
    filled = [line.plain.count("█") for line in lines]
    assert filled[0] == 2 * filled[1]
    assert filled[2] == 0
    assert "NaN dB" in lines[2].plain
