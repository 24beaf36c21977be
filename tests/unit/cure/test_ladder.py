"""How many units, and which: the knee, and what the others make needless."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdebug.capture.session import SessionSettings
from qdebug.cure.ladder import NEEDED, Ladder
from qdebug.cure.loss import Loss
from qdebug.cure.meter import Judge, Meter, PictureMeasured
from qdebug.cure.network import Config, Numbers
from qdebug.cure.plan import Budget
from qdebug.cure.predict import Prediction, Shares
from qdebug.cure.proof import Journal, Proof
from qdebug.cure.setting import Scheme
from qdebug.cure.sites import Unit
from qdebug.run.tuning import Measured
from tests.support.tunable import tiny_network

COUNT = 12
UNITS = tuple(Unit((at,), (at,), f"unit {at}", 0.01) for at in range(COUNT))
GIVEN = (Scheme().over(-1, 1, 8),) * COUNT
FLOOR = 1e-4


def ladder(folder: Path, costs: Mapping[int, float], predicted: Mapping[int, float]) -> Ladder:
    """Of units that really cost so much, beside what is predicted for them."""

    def measure(
        config: Config, weights: str, numbers: Numbers
    ) -> Generator[PictureMeasured, None, None]:
        assert weights == "given"
        assert not numbers
        loss = FLOOR + sum(cost for at, cost in costs.items() if config[at].bits == 8)
        for spread in (0.9, 1.0, 1.1):
            yield PictureMeasured(loss * spread, ((1.0, loss * spread),), None)

    meter = Meter(
        tiny_network(folder), Loss(("y",), "", {}), Judge(None), SessionSettings(threads=1)
    )
    nothing: list[Any] = [None] * 3  # what is measured does not look at them
    proof = Proof(meter, nothing, Journal(None, ""), lambda: None, measure)
    shares = [Shares(None, alone=predicted.get(at, 0.0)) for at in range(COUNT)]
    prediction = Prediction(UNITS, GIVEN, shares, Scheme())
    found = Ladder(prediction, proof, 16, Budget(), 60.0, (), lambda _: None)
    found.measured = found._try("given", "as given", found.plan)
    return found


def raised(found: Ladder) -> set[int]:
    return set(found.plan.units)


def test_units_between_two_counts_are_taken_out_again(tmp_path: Path) -> None:
    """Four matter, in an order where the counts 3 and 5 are tried."""
    costs = {at: 0.02 for at in (2, 5, 7, 9)} | {0: 1e-6, 1: 1e-6}
    found = ladder(tmp_path, costs, costs)
    found.climb()
    assert raised(found) == {2, 5, 7, 9}
    (point,) = [point for point in found.found.curve if point.chosen]
    assert (point.added, point.order) == (4, NEEDED)
    assert found.found.cures[-1].title == "4 more units to 16 bits"
    assert len(found.found.cures[-1].units) == 4


def test_a_wrong_prediction_takes_nothing_out(tmp_path: Path) -> None:
    """The fifth is predicted to cost nothing, and does: the held-out pictures keep it."""
    costs = {at: 0.02 for at in (2, 5, 7, 9, 10)}
    found = ladder(tmp_path, costs, {**costs, 10: 1e-6})
    found.climb()
    assert raised(found) == {2, 5, 7, 9, 10}


def test_units_that_win_next_to_nothing_are_not_taken(tmp_path: Path) -> None:
    costs = dict.fromkeys(range(COUNT), 1e-6) | {3: 0.02}
    found = ladder(tmp_path, costs, costs)
    found.climb()
    assert raised(found) == {3}


@pytest.mark.parametrize(
    ("each", "reached"),
    [((1.0, 0.8, 1.0), True), ((0.8, 0.8, 0.8), False), ((1.0, 0.5, 0.6), False)],
)
def test_a_coarse_number_is_not_short_of_the_target(
    tmp_path: Path, each: tuple[float, ...], reached: bool
) -> None:
    found = ladder(tmp_path, {}, {})
    found.target = 0.9
    measured = Measured(0.1, 20.0, float(np.mean(each)) - 0.05, (0.1,) * 3, each)
    assert found.reached(measured) == reached
    assert not found.meets(measured)


@pytest.mark.parametrize(
    ("budget", "rungs"), [(0, []), (1, [1]), (4, [1, 2, 3, 4]), (5, [1, 2, 3, 5])]
)
def test_a_budget_is_tried_itself(tmp_path: Path, budget: int, rungs: list[int]) -> None:
    found = ladder(tmp_path, dict.fromkeys(range(COUNT), 1e-2), dict.fromkeys(range(COUNT), 1e-2))
    found.budget = Budget(units=budget)
    found.climb()
    assert sorted({point.added for point in found.found.curve} - {0}) == rungs
    assert len(raised(found)) == budget
