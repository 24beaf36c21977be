"""Heat maps of key points: is each peak at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    share,
)
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("same_place", warn=0.9, fail=0.5)
_COARSEST = 16
"""A heat map has one value for at most so many of the input's pixels along each side."""
_MOST_POINTS = 200
_PEAK = 5.0
"""A peak stands out where it is above so many root mean squares of its map. By judgement: HRNet's
and Simple Baselines' peaks have 20 and more, noise of any size 3 to 4."""
_CLOSE = 0.05
"""Peaks nearer than this share of the map's diagonal are at the same place (as PCK@0.05)."""
_PEAKED_SHARE = 0.3
"""Share of the maps with a peak from which on the output behaves like heat maps."""


def recognize(facts: OutputFacts) -> Task | None:
    """A task for maps with one peak each; None where no output can hold such."""
    if facts.input_size is None:
        return None
    for name, value in facts.outputs.items():
        if value.ndim == 4 and value.shape[0] == 1 and 2 <= value.shape[1] <= _MOST_POINTS:
            sides = value.shape[2:]
            width, height = facts.input_size
            if min(sides) > 1 and sides[0] * _COARSEST >= height and sides[1] * _COARSEST >= width:
                return _task(name, value)
    return None


def _task(name: str, value: Array) -> Task:
    return Task(
        "keypoints",
        f"{value.shape[1]} heat maps in {name}",
        _Judge(name),
        total,
        describe,
        LIMITS,
        "decisions",
        reads=(name,),
        behaves=lambda outputs: _behaves(outputs[name]),
    )


def _behaves(value: Array) -> Behaviour:
    peaked = float(_has_peak(value[0]).mean())
    told = f"{percent(peaked)} of the maps have one peak"
    return Behaviour(peaked >= _PEAKED_SHARE, told)


def _has_peak(maps: Array) -> npt.NDArray[np.bool_]:
    """By map: whether the largest value stands out, and all near it are next to it."""
    flat = np.nan_to_num(np.asarray(maps, np.float64).reshape(len(maps), -1))
    rms = np.sqrt(np.mean(flat**2, axis=1))
    stands_out = (rms > 0) & (flat.max(axis=1) >= _PEAK * rms)
    highest = flat.max(axis=1, keepdims=True)
    near = flat >= highest - 0.5 * np.abs(highest)
    rows, columns = np.divmod(np.arange(flat.shape[1]), maps.shape[2])
    spread = [
        max(np.ptp(rows[mask]) / maps.shape[1], np.ptp(columns[mask]) / maps.shape[2])
        for mask in near
    ]
    return np.asarray(stands_out & (np.array(spread) < 1 / 3))


def _peaks(maps: Array) -> npt.NDArray[np.float64]:
    """``[points, 2]``, row and column."""
    flat = np.nan_to_num(maps.reshape(len(maps), -1)).argmax(axis=1)
    return np.stack(np.divmod(flat, maps.shape[2]), axis=1).astype(np.float64)


@dataclass(frozen=True)
class _Judge:
    output: str

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = reference[self.output][0], test[self.output][0]
        shown = _has_peak(f)
        diagonal = float(np.hypot(*f.shape[1:]))
        moved = np.linalg.norm(_peaks(f) - _peaks(q), axis=1)[shown] / diagonal
        constant = (q.reshape(len(q), -1).std(axis=1) == 0)[shown]
        same = (moved <= _CLOSE) & ~constant
        counts = {
            "decisions": float(shown.sum()),
            "wrong": float(np.count_nonzero(~same)),
            "moved": float(moved.sum()),
        }
        facts: dict[str, str | float] = {"points": int(shown.sum()), "same": int(same.sum())}
        return Effect(facts, counts, float(np.count_nonzero(~same)) + float(moved.sum()))


def total(counts: Mapping[str, float]) -> dict[str, float]:
    """Share of the points at the same place, and their mean way."""
    points = counts["decisions"]
    return {
        "same_place": share(points - counts["wrong"], points),
        "moved": counts["moved"] / max(points, 1),
        "points": points,
    }


def describe(numbers: Mapping[str, float]) -> str:
    """One sentence."""
    if not numbers["points"]:
        return "no map of the float model has a peak"
    return (
        f"{percent(numbers['same_place'])} of {numbers['points']:.0f} points at the same place, "
        f"moved by {percent(numbers['moved'])} of the map's diagonal on average"
    )
