"""The sentence a tuning ends in, for every way it can end."""

from __future__ import annotations

import dataclasses

import pytest

from qdebug.cure.verdict import Reached, decide
from qdebug.run.tuning import Measured

BASE = Reached(
    given=Measured(0.1, 10.0, 0.2),
    tuned=Measured(0.001, 30.0, 0.95),
    ceiling=Measured(0.0001, 40.0, 1.0),
    task="f1",
    target=0.9,
    units=43,
    raised=2,
    needed=None,
    reachable=True,
    met=True,
    cures=2,
    nothing_to_win=False,
    fault="",
    stopped="",
)
SHORT = {"met": False, "tuned": Measured(0.05, 13.0, 0.4)}


@pytest.mark.parametrize(
    ("changes", "outcome", "words"),
    [
        ({}, "tuned", "f1 0.200 (10.0 dB) -> f1 0.950 (30.0 dB) with 2 of 43 units at more bits"),
        ({"nothing_to_win": True}, "nothing-to-win", "nothing to win"),
        ({"cures": 0}, "nothing-to-win", "nothing to win"),
        ({**SHORT, "needed": 41}, "out-of-reach", "f1 0.9: 41 of 43 units needed"),
        ({**SHORT, "reachable": False}, "out-of-reach", "not even 16 bits for all activations"),
        (SHORT, "out-of-reach", "no plan tried reaches f1 0.9;"),
        ({**SHORT, "stopped": "interrupted"}, "tuned", "-> f1 0.400"),
        ({"fault": "weight-mismatch"}, "not-resolution", "weight-mismatch says what it is"),
    ],
)
def test_every_end_has_its_sentence(changes: dict[str, object], outcome: str, words: str) -> None:
    found, sentence = decide(dataclasses.replace(BASE, **changes))  # type: ignore[arg-type]
    assert found == outcome
    assert words in sentence


def test_without_a_task_decibels_are_told() -> None:
    low = Measured(0.1, 12.0)
    found = dataclasses.replace(
        BASE, given=low, tuned=low, ceiling=low, task="", target=20.0, met=False, needed=30
    )
    assert "no 8-bit plan reaches SQNR, dB 20: 30 of 43 units needed" in decide(found)[1]
