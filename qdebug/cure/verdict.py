"""The sentence a tuning ends in."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.run.tuning import Measured, Outcome

SPREAD = 0.5
"""A plan that takes more than this share of the units is no plan: EdgeSAM needed 33 of 35 blocks,
RF-DETR 81 of 82. By judgement."""


@dataclass(frozen=True)
class Reached:
    """What a search came to.

    Attributes:
        given: the model as given.
        tuned: the plan found.
        ceiling: 16 bits everywhere.
        task: name of the task's number; empty where none is known.
        target: what had to be reached.
        units: number of units.
        raised: how many of them have more bits in the plan.
        needed: how many the target takes; None where it is reached, or was not looked for.
        reachable: whether any number of units reaches the target.
        met: whether the plan does.
        cures: number of cures accepted.
        nothing_to_win: whether the given model is as good as it can get.
        fault: slug of the finding that says why more bits do not help; empty for none.
        stopped: why the search ended early; empty where it did not.
    """

    given: Measured
    tuned: Measured
    ceiling: Measured
    task: str
    target: float
    units: int
    raised: int
    needed: int | None
    reachable: bool
    met: bool
    cures: int
    nothing_to_win: bool
    fault: str
    stopped: str


def decide(found: Reached) -> tuple[Outcome, str]:
    """The outcome and its sentence."""
    if found.fault:
        return "not-resolution", (
            f"refused: 16 bits everywhere give {_told(found, found.ceiling)}, so the fault is not "
            f"resolution; {found.fault} says what it is (qdebug explain {found.fault})"
        )
    apart = _apart(found.given, found.ceiling)
    if found.nothing_to_win or (not found.cures and found.met):
        return "nothing-to-win", (
            f"nothing to win: the given model, {_told(found, found.given)}, {apart}"
        )
    change = f"{_told(found, found.given)} -> {_told(found, found.tuned)}"
    raised = f" with {found.raised} of {found.units} units at more bits" if found.raised else ""
    if found.met or found.stopped:
        return "tuned", f"{change}{raised}; the ceiling is {_told(found, found.ceiling)}"
    goal = f"{found.task or 'SQNR, dB'} {found.target:g}"
    if found.needed is not None:
        return "out-of-reach", (
            f"no 8-bit plan reaches {goal}: {found.needed} of {found.units} units needed; "
            f"the best found: {change}{raised}"
        )
    why = "" if found.reachable else ", not even 16 bits for all activations with these weights"
    return "out-of-reach", f"no plan tried reaches {goal}{why}; the best found: {change}{raised}"


def _told(found: Reached, measured: Measured) -> str:
    if measured.task is None:
        return f"{measured.sqnr_db:.1f} dB"
    return f"{found.task} {measured.task:.3f} ({measured.sqnr_db:.1f} dB)"


def _apart(given: Measured, ceiling: Measured) -> str:
    if ceiling.sqnr_db - given.sqnr_db < 1:
        return "is within 1 dB of the ceiling"
    return f"is within what quantization can reach (ceiling {ceiling.sqnr_db:.1f} dB)"
