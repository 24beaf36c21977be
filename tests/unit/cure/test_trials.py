"""When a gain counts: beyond what chance gives on a few held-out pictures."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.cure import trials
from qdebug.cure.trials import has_fallen, paired_gain, standard_errors
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
    assert won < standard_errors(8) * error
    assert not trials.judged(before, after, "")[0]


def test_a_gain_on_every_picture_is_one() -> None:
    before = measured(0.4, 0.1, 0.02, 0.3)
    after = measured(0.04, 0.012, 0.002, 0.025)
    won, error = paired_gain(before, after)
    assert won > standard_errors(4) * error > 0
    assert trials.judged(before, after, "")[0]


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


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(2, 3.078), (3, 1.886), (4, 1.638), (5, 1.533), (8, 1.415), (9, 1.397), (24, 1.319)],
)
def test_fewer_pictures_have_to_show_more(count: int, wanted: float) -> None:
    """Tabled quantiles of Student's t, one-sided, one in ten."""
    assert standard_errors(count) == pytest.approx(wanted, rel=0.01)


def test_a_large_gain_on_three_of_three_is_accepted() -> None:
    before = measured(0.2, 0.1, 0.4)
    for gains in ((10, 10, 10), (2, 10, 18), (5, 6, 19)):
        after = measured(*(b / 10 ** (g / 10) for b, g in zip(before.each, gains, strict=True)))
        assert trials.judged(before, after, "")[0]


def test_one_of_three_is_not_enough() -> None:
    accepted, why = trials.judged(measured(0.2, 0.1, 0.4), measured(0.21, 0.11, 0.04), "")
    assert not accepted
    assert "not more than 1.9 times its standard error" in why


def test_chance_passes_once_in_ten() -> None:
    """Gains that are none, of normal size: one in ten."""
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(2000):
        before = 10 ** rng.normal(-1, 0.3, 5)
        after = before * 10 ** rng.normal(0, 0.1, 5)
        won, error = paired_gain(measured(*before), measured(*after))
        passed += won > standard_errors(5) * error
    assert passed / 2000 == pytest.approx(0.1, abs=0.02)
