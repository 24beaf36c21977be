"""Settings that are proposed: within the target's constraints, and without guessing at what no
picture shows."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.predict import Prediction, Shares
from qdebug.cure.setting import Scheme, Setting
from qdebug.cure.sites import Unit
from qdebug.cure.thresholds import METHODS

UNIT = Unit((0,), (0,), "conv", 0.1)


def histogram(end: float) -> GradientHistogram:
    """Normal values whose rare large ones hardly matter, up to ``end``."""
    values = np.abs(np.random.default_rng(0).standard_normal(20000)).astype(np.float32)
    values = np.append(values, np.float32(end))
    found = GradientHistogram()
    found.add(values, np.where(values > 3, 1e-4, 1.0).astype(np.float32))
    return found


def prediction(
    seen: float, given: float, scheme: Scheme | None = None, answers: tuple[int, ...] = ()
) -> Prediction:
    shares = Shares(histogram(seen), ((0.0, 2.0), (0.0, 3.0), (0.0, 2.4)))
    setting = Scheme().over(0.0, given, 8)
    return Prediction([UNIT], (setting,), [shares], scheme or Scheme(), answers)


@pytest.mark.parametrize("given", [5.0, 10.0])
def test_pictures_that_reach_the_given_range_may_cut_it(given: float) -> None:
    found = prediction(10.0, given)
    assert not found.beyond()
    assert found.by_method("G2", reach=True) == found.by_method("G2")
    assert found.by_method("G2")[0].high < 4


def test_what_no_picture_shows_is_cut_by_the_same_share() -> None:
    found = prediction(10.0, 20.0)
    assert found.beyond() == [0]
    alone, kept = found.by_method("G2")[0], found.by_method("G2", reach=True)[0]
    assert kept.high == pytest.approx(2 * alone.high, rel=0.01)
    assert found.by_method("MAX", reach=True)[0].high == pytest.approx(20, rel=0.01)
    assert found.widest(reach=True)[0].high == pytest.approx(6, rel=0.01)
    assert found.median(reach=True)[0].high == pytest.approx(4.8, rel=0.01)


def test_a_given_range_that_no_calibration_found_is_no_evidence() -> None:
    found = prediction(10.0, 600.0)
    assert not found.beyond()
    assert found.by_method("G2", reach=True) == found.by_method("G2")


def test_answers_are_never_cut() -> None:
    found = prediction(10.0, 5.0, answers=(0,))
    for name in METHODS:
        assert found.by_method(name)[0].high == pytest.approx(10, rel=0.01)
    assert found.median()[0].high == pytest.approx(10, rel=0.01)


def test_what_the_target_cannot_express_is_not_proposed() -> None:
    scheme = Scheme(symmetric=True, power_of_two=True)
    found = prediction(10.0, 6.0, scheme)
    proposed = [found.by_method(name)[0] for name in METHODS]
    proposed += [found.widest()[0], found.median()[0], found.wide(16)[0], found.fitted[0]]
    assert all(scheme.fits(setting) for setting in proposed)
    assert not scheme.fits(found.given[0])


def test_a_setting_that_fits_stays() -> None:
    scheme = Scheme(symmetric=True, unsigned=True)
    found = prediction(10.0, 6.0, scheme)
    assert found.fitted == found.given
    assert scheme.fits(Setting(0.1, 128, 255, 8))
    assert not scheme.fits(Setting(0.1, 3, 255, 8))


def test_symmetric_codes_say_nothing_of_one_side() -> None:
    """A range of -20..20 for values that are never negative is a reach of 20 above zero only."""
    given = Scheme(symmetric=True).over(0.0, 20.0, 8)
    shares = Shares(histogram(10.0), ((0.0, 2.0),))
    found = Prediction([UNIT], (given,), [shares], Scheme(symmetric=True))
    alone, kept = found.by_method("G2")[0], found.by_method("G2", reach=True)[0]
    assert kept.high == pytest.approx(2 * alone.high, rel=0.01)
    assert kept.high < 10
