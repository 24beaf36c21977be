"""Where held-out pictures are few: those of the search decide, too, by turns.

The pictures are dealt into three parts. Two are searched on and the third decides. For a way to
choose ranges, each part can be that third one: the others give ranges by the same way, and it shows
what these are worth on pictures that had no part in them (cross-validation, Stone 1974). What is
proven so is the way; the ranges in the model are still those that no held-out picture had a part
in.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.cure.plan import Plan
from qdebug.cure.predict import Prediction, Settings
from qdebug.cure.proof import Proof
from qdebug.cure.sites import expanded
from qdebug.cure.ways import Way
from qdebug.run.tuning import Measured


@dataclass(frozen=True)
class Turn:
    """One part of the pictures that were searched on, held out.

    Attributes:
        prediction: from all other pictures.
        proof: on this part.
    """

    prediction: Prediction
    proof: Proof


class Crossing:
    """Measures plans on the pictures that were searched on.

    Args:
        turns: of each part.
        ways: to choose ranges, by name; ranges by another name are no picture's.
        wide: settings at the higher precision.
    """

    def __init__(self, turns: Sequence[Turn], ways: Mapping[str, Way], wide: Settings) -> None:
        self.turns, self.ways, self.wide = turns, ways, wide

    @property
    def runs(self) -> int:
        """Runs of configurations so far."""
        return sum(turn.proof.runs for turn in self.turns)

    def measure(self, plan: Plan) -> Measured:
        """What a plan does on all pictures of the search, each held out of its ranges."""
        return functools.reduce(joined, [self._measure(turn, plan) for turn in self.turns])

    def _measure(self, turn: Turn, plan: Plan) -> Measured:
        way = self.ways.get(plan.ranges)
        base = plan.base if way is None else way(turn.prediction)
        settings = [self.wide[at] if at in plan.units else s for at, s in enumerate(base)]
        return turn.proof.measure(expanded(turn.prediction.units, settings), plan.numbers)


def joined(one: Measured, other: Measured) -> Measured:
    """Two measurements on different pictures as one; numbers of both are weighted by pictures."""
    shares = [len(one.each), len(other.each)]

    def mean(first: float, second: float) -> float:
        return float(np.average([first, second], weights=shares))

    has_task = one.task is not None and other.task is not None
    return Measured(
        mean(one.loss, other.loss),
        mean(one.sqnr_db, other.sqnr_db),
        mean(one.task or 0.0, other.task or 0.0) if has_task else None,
        (*one.each, *other.each),
        (*one.task_each, *other.task_each),
    )
