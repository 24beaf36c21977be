"""When a gain counts: beyond what chance gives on a few held-out pictures."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.cure.trials import has_fallen, paired_gain
from qdebug.run.tuning import Measured


def measured(*losses: float) -> Measured:
    return Measured(float(np.mean(losses)), 0.0, None, losses)


def test_each_picture_counts_alike() -> None:
    """One picture that gets better by far does not stand for seven that get worse."""
    before = measured(1.0, *[0.001] * 7)
    after = measured(0.01, *[0.002] * 7)
    assert after.loss < before.loss
    won, error = paired_gain(before, after)
    assert won == pytest.approx((20 - 7 * 3.0103) / 8, abs=1e-3)
    assert won < 2 * error


def test_a_gain_on_every_picture_is_one() -> None:
    before = measured(0.4, 0.1, 0.02, 0.3)
    after = measured(0.04, 0.012, 0.002, 0.025)
    won, error = paired_gain(before, after)
    assert won > 2 * error > 0


def test_one_picture_shows_no_spread() -> None:
    won, error = paired_gain(measured(0.1), measured(0.01))
    assert won == pytest.approx(10)
    assert error == 0


def test_losses_without_bound_do_not_break_it() -> None:
    won, _ = paired_gain(measured(float("inf"), 0.1), measured(0.1, 0.0))
    assert np.isfinite(won)


def judged(*numbers: float) -> Measured:
    known = [number for number in numbers if np.isfinite(number)]
    return Measured(0.1, 0.0, float(np.mean(known)), (0.1,) * len(numbers), numbers)


@pytest.mark.parametrize(
    ("after", "fallen"),
    [
        ((1, 1, 1, 1, 1, 1, 1, 0), False),
        ((1, 1, 1, 1, 1, 1, 0, 0), True),
        ((0.99,) * 8, False),
        ((0.95,) * 8, True),
        ((1, 1, 1, 1, 1, 1, 1, float("nan")), False),
    ],
)
def test_one_picture_of_eight_is_chance(after: tuple[float, ...], fallen: bool) -> None:
    assert has_fallen(judged(*[1.0] * 8), judged(*after)) == fallen


def test_a_number_of_all_pictures_together_has_the_margin_only() -> None:
    before, after = Measured(0.1, 0.0, 0.9), Measured(0.1, 0.0, 0.87)
    assert has_fallen(before, after)
    assert not has_fallen(after, before)
    assert not has_fallen(Measured(0.1, 0.0), Measured(0.2, 0.0))
