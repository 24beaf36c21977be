"""Where held-out pictures are few, those of the search decide by turns."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from qdebug.capture.session import SessionSettings
from qdebug.cure.contributions import Contributions
from qdebug.cure.crossing import Crossing, Turn, joined
from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.loss import Loss
from qdebug.cure.meter import Judge, Meter, PictureMeasured
from qdebug.cure.network import Config, Numbers
from qdebug.cure.plan import GIVEN, Plan
from qdebug.cure.predict import Prediction, Shares
from qdebug.cure.proof import Journal, Proof
from qdebug.cure.setting import Scheme
from qdebug.cure.sites import Unit
from qdebug.cure.ways import ways_of
from qdebug.run.tuning import Measured
from tests.support.tunable import tiny_network

UNITS = (Unit((0,), (0,), "a", 0.5), Unit((1,), (1,), "b", 0.5))
GIVEN_SETTINGS = (Scheme().over(-1, 1, 8), Scheme().over(0, 4, 8))


def histogram(high: float) -> GradientHistogram:
    """Of values that reach as far as that, one run."""
    made = GradientHistogram()
    made.add(np.linspace(0, high, 200, dtype=np.float32), np.ones(200, np.float32))
    return made


def shares(*highs: float) -> list[Shares]:
    """Of units whose values reach as far as that."""
    return [Shares(histogram(high), ((0.0, high),)) for high in highs]


def prediction(*highs: float) -> Prediction:
    return Prediction(UNITS, GIVEN_SETTINGS, shares(*highs), Scheme())


class Recorder:
    """Notes which configurations were measured, and gives a loss for each picture."""

    def __init__(self, *losses: float) -> None:
        self.losses, self.configs = losses, list[Config]()

    def __call__(
        self, config: Config, weights: str, numbers: Numbers
    ) -> Generator[PictureMeasured, None, None]:
        assert (weights, numbers) == (GIVEN, {})
        self.configs.append(config)
        for loss in self.losses:
            yield PictureMeasured(loss, ((1.0, loss),), None)


@pytest.fixture
def crossing(tiny_proof: Proof) -> tuple[Crossing, list[Recorder]]:
    recorders = [Recorder(0.1, 0.2), Recorder(0.3)]
    turns = [
        Turn(prediction(*highs), tiny_proof.on(f"{n}|", [None] * len(r.losses), r))  # type: ignore[list-item]
        for n, (highs, r) in enumerate(zip(((2.0, 3.0), (5.0, 6.0)), recorders, strict=True))
    ]
    wide = (Scheme().over(-8, 8, 16),) * 2
    return Crossing(turns, ways_of(prediction(4.0, 4.0)), wide), recorders


@pytest.fixture
def tiny_proof(tmp_path: Path) -> Proof:
    network = tiny_network(tmp_path)
    meter = Meter(network, Loss(("y",), "", {}), Judge(None), SessionSettings(threads=1))
    return Proof(meter, [], Journal(None, ""), lambda: None)


def test_each_turn_has_the_ranges_of_the_other_pictures(
    crossing: tuple[Crossing, list[Recorder]],
) -> None:
    found, recorders = crossing
    plan = Plan("MAX", prediction(9.0, 9.0).by_method("MAX"), frozenset(), GIVEN)
    measured = found.measure(plan)
    assert measured.each == (0.1, 0.2, 0.3)
    assert measured.loss == pytest.approx(0.2)
    assert found.runs == 3
    ends = [[setting.high for setting in recorder.configs[0]] for recorder in recorders]
    assert ends[0] == pytest.approx([2.0, 3.0])
    assert ends[1] == pytest.approx([5.0, 6.0])


def test_given_ranges_and_more_bits_are_the_same_in_each_turn(
    crossing: tuple[Crossing, list[Recorder]],
) -> None:
    found, recorders = crossing
    found.measure(Plan(GIVEN, GIVEN_SETTINGS, frozenset({1}), GIVEN))
    first, second = (recorder.configs[0] for recorder in recorders)
    assert first == second == (GIVEN_SETTINGS[0], found.wide[1])


def test_two_measurements_are_weighted_by_their_pictures() -> None:
    one = Measured(0.1, 10.0, 1.0, (0.1,), (1.0,))
    other = Measured(0.4, 4.0, 0.7, (0.4, 0.4), (0.6, 0.8))
    both = joined(one, other)
    assert (both.loss, both.sqnr_db, both.task) == pytest.approx((0.3, 6.0, 0.8))
    assert (both.each, both.task_each) == ((0.1, 0.4, 0.4), (1.0, 0.6, 0.8))
    assert joined(Measured(0.1, 0.0, None, (0.1,)), other).task is None


def test_reach_is_kept_at_answers_and_in_some_ways() -> None:
    beyond, within = prediction(0.5, 2.0), prediction(9.0, 9.0)
    assert "G2, reach kept" in ways_of(beyond)
    assert "G2, reach kept" not in ways_of(within)
    answering = Prediction(UNITS, GIVEN_SETTINGS, shares(0.5, 2.0), Scheme(), {1})
    for one, ends in ((beyond, [0.5, 2.0]), (answering, [0.5, 4.0])):
        assert [s.high for s in ways_of(one)["MAX"](one)] == pytest.approx(ends)


def test_halves_stand_beside_other_pictures() -> None:
    first, second = (
        Contributions({"a": histogram(high)}, {"a": ((0.0, high),)}, {}, 1) for high in (1.0, 3.0)
    )
    both = first.beside(second)
    assert both.runs == 2
    assert both.ranges["a"] == ((0.0, 1.0), (0.0, 3.0))
    assert (both.whole["a"].runs, both.whole["a"].high) == (2, 3.0)
    assert first.whole["a"].runs == 1  # as it was
