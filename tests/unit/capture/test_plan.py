"""The memory plan."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.capture.plan import halves, plan_segments


def test_everything_fits_into_one_segment() -> None:
    plan = plan_segments([10, 20, 30], [0, 5, 5, 0], cap=100)
    assert plan.segments == (range(3),)
    assert plan.peak == 60


@pytest.mark.parametrize("cap", [30, 37, 45, 64])
def test_segments_cover_all_pairs_in_order_and_hold_the_cap(cap: int) -> None:
    captured = [10, 20, 5, 5, 12, 7, 20, 1]
    carried = [0, 3, 6, 3, 2, 4, 4, 1, 0]
    plan = plan_segments(captured, carried, cap)
    assert [at for part in plan.segments for at in part] == list(range(8))
    for part in plan.segments:
        held = sum(captured[at] for at in part) + carried[part.start] + carried[part.stop]
        assert held <= cap


def test_a_layer_larger_than_the_cap_stands_alone_and_is_said() -> None:
    plan = plan_segments([1, 500, 1], [0, 0, 0, 0], cap=100)
    assert plan.segments == (range(1), range(1, 2), range(2, 3))
    assert plan.peak == 500
    assert "exceeds the cap" in plan.describe()


def test_a_segment_has_no_more_pairs_than_it_may() -> None:
    plan = plan_segments([1] * 7, [0] * 8, cap=100, most=3)
    assert plan.segments == (range(3), range(3, 6), range(6, 7))


def test_no_pairs() -> None:
    assert plan_segments([], [0], cap=1).segments == (range(0),)


def test_halves_cost_about_the_same() -> None:
    assert halves(range(4, 8), [9.0] * 4 + [1.0, 1.0, 1.0, 1.0]) == (range(4, 6), range(6, 8))
    assert halves(range(4), [8.0, 1.0, 1.0, 1.0]) == (range(1), range(1, 4))
    assert halves(range(4), [1.0, 1.0, 1.0, 8.0]) == (range(3), range(3, 4))
    assert halves(range(3), [0.0, 0.0, 0.0]) == (range(1), range(1, 3))
    assert halves(range(7, 8), [1.0] * 8) == (range(7, 8),)
    assert halves(range(0), []) == (range(0),)


def test_no_other_cut_is_nearer_to_the_middle() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 9, 40):
        costs = rng.uniform(0, 1, count) ** 4
        apart = [abs(costs[:cut].sum() - costs[cut:].sum()) for cut in range(1, count)]
        first, second = halves(range(count), costs.tolist())
        assert (first.start, second.stop) == (0, count)
        assert first.stop == second.start
        assert apart[first.stop - 1] == pytest.approx(min(apart))
