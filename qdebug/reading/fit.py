"""Which reading made the board's boxes: a search over places and scores, with its certainty.

Every box of the board is held against all candidates, in place and in score together: a candidate
beside the right one may lie where a mistake would put the box, but then its score is another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.reading.candidates import CODES, Seen
from qdebug.reading.levels import LEVELS, Level
from qdebug.reading.places import Place, places

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

RIGHT = "right"
_BOARD_BOXES, _CANDIDATES = 40, 250
"""Boxes of the board, and candidates by each part of the score, that are held against each other in
a picture: the best ones. By judgement; a mistake shows in every box."""
_MISTAKE = 1e-3
"""What a mistake more costs, as a share of a box: of two ways that fit alike, the simpler one."""
_FITS = 0.25
"""Mean distance, in sides of a box and in score together, up to which a reading explains the boxes:
int8 twins of one network differ by 0.02 to 0.15. By judgement."""
_BETTER, _ERRORS = 0.6, 3.0
"""One reading is better than another where its distance is below this share of the other's, and the
difference is so many standard errors above zero. By judgement."""
_ROUNDED = 5e-4
"""Differences that the decimals of a file make, as a share of a box."""
SAME = 0.1
"""A box is the same, up to here. By judgement: as far as two runtimes of one int8 network are
apart."""


@dataclass(frozen=True)
class Answer:
    """A board's boxes on one picture.

    Attributes:
        corners: float64 ``[n, 4]`` in pixels of the picture as the file says it.
        scores: float64 ``[n]``.
        classes: int64 ``[n]``.
    """

    corners: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]

    def best(self, count: int) -> Answer:
        """The boxes of the highest scores."""
        order = np.argsort(-self.scores, kind="stable")[:count]
        return Answer(self.corners[order], self.scores[order], self.classes[order])


@dataclass(frozen=True)
class Reading:
    """A way to read, and how well it explains the board's boxes.

    Attributes:
        source: name of the candidates' reading: ``right``, ``codes``, or of a head's mistake.
        place: how boxes are placed.
        level: how they are scored.
        losses: float64 ``[boxes]``, distance of each of the board's boxes.
    """

    source: str
    place: Place
    level: Level
    losses: Floats

    @property
    def mistakes(self) -> int:
        """How many there are."""
        wrong = len(self.place.mistakes)
        return wrong + (self.source != RIGHT) + (self.level.name != RIGHT)

    @property
    def cost(self) -> float:
        """Mean distance, with what its mistakes cost."""
        return float(self.losses.mean()) + _MISTAKE * self.mistakes

    @property
    def fits(self) -> bool:
        """Whether it explains the boxes at all."""
        return float(self.losses.mean()) <= _FITS


def better(one: Floats, two: Floats) -> bool:
    """Whether the first distances are smaller, and not by chance."""
    difference = two - one
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(len(one)) if len(one) > 1 else 0.0
    least = max(_ERRORS * error, _ROUNDED)
    return mean > least and float(one.mean()) < _BETTER * float(two.mean())


def search(pictures: Sequence[tuple[Seen, Answer]]) -> list[Reading]:
    """All readings with their distances, the best first.

    Args:
        pictures: candidates and the board's boxes, of pictures with boxes.
    """
    work = [_Held.of(seen, answer) for seen, answer in pictures]
    first = pictures[0][0]
    every = list(places(first.right.cells))
    found = []
    for place in every:
        near = [held.places(RIGHT, place) for held in work]
        found += [_reading(RIGHT, place, level, work, near) for level in LEVELS]
    for source in (name for name in first.readings if name != RIGHT):
        near = [held.places(source, every[0]) for held in work]
        found += [_reading(source, every[0], level, work, near) for level in LEVELS[:2]]
    readings = [reading for reading in found if reading is not None]
    return sorted(readings, key=lambda reading: reading.cost)


def _reading(
    source: str,
    place: Place,
    level: Level,
    work: Sequence[_Held],
    near: Sequence[Floats | None],
) -> Reading | None:
    losses = []
    for held, places_apart in zip(work, near, strict=True):
        scores_apart = held.scores(source, level)
        if places_apart is None or scores_apart is None:
            return None
        losses.append((places_apart + scores_apart).min(axis=1))
    return Reading(source, place, level, np.concatenate(losses))


@dataclass
class _Held:
    """One picture's boxes and the candidates they may be of."""

    seen: Seen
    answer: Answer

    @classmethod
    def of(cls, seen: Seen, answer: Answer) -> _Held:
        rows = likely_rows(seen)
        taken = Seen(
            {n: p.take(rows) for n, p in seen.readings.items()}, seen.geometry, seen.suppress
        )
        return cls(taken, answer.best(_BOARD_BOXES))

    def places(self, source: str, place: Place) -> Floats | None:
        made = place.boxes(self.seen.readings[source], self.seen.geometry)
        if made is None:
            return None
        return distances(self.answer.corners, *made, self.seen.geometry.source)

    def scores(self, source: str, level: Level) -> Floats | None:
        own = level.make(self.seen.readings[source])
        if own is None:
            return None
        if source == CODES:
            return _of_codes(self.answer.scores, own.max(axis=1))
        best = own[np.arange(len(own)), self._classes] if source == RIGHT else own.max(axis=1)
        return np.minimum(level.distance(self.answer.scores, best), 1.0)

    @property
    def _classes(self) -> Array:
        return np.asarray(self.seen.right.scores().argmax(axis=1))


def _of_codes(board: Floats, own: Floats) -> Floats:
    apart = np.abs(board[:, None] - own[None, :]) / (1 + np.abs(own)[None, :])
    return np.asarray(np.minimum(apart, 1.0))


def likely_rows(seen: Seen) -> Array:
    """The candidates that a program's best boxes may be of."""
    parts = seen.right
    orders = [parts.scores(), parts.probabilities()]
    objects = parts.objects()
    if objects is not None:
        orders.append(objects)
    best = [np.argsort(-x.max(axis=1), kind="stable")[:_CANDIDATES] for x in orders]
    return np.unique(np.concatenate(best))


def distances(board: Floats, own: Floats, side: Floats, size: tuple[int, int]) -> Floats:
    """Mean difference of the four numbers in sides of the box, at most 1: ``[boards, candidates]``.

    A program may cut boxes at the picture's edges or leave them.
    """
    limit = np.array([*size, *size], np.float64)
    apart = [
        np.abs(board[:, None] - boxes[None]).mean(axis=2) for boxes in (own, np.clip(own, 0, limit))
    ]
    return np.asarray(np.minimum(np.minimum(*apart) / side[None, :], 1.0))


def simplest(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of the fewest mistakes that explain the boxes about as well as the best one.

    Several where the pictures do not tell them apart.
    """
    best = readings[0]
    alike = [r for r in readings if r is best or not better(best.losses, r.losses)]
    fewest = min(r.mistakes for r in alike)
    return [r for r in alike if r.mistakes == fewest]


def names_of(reading: Reading) -> tuple[str, ...]:
    """Names of a reading's mistakes; none for the right one."""
    names = [reading.source] if reading.source != RIGHT else []
    names += [hand.name for hand in reading.place.mistakes]
    return tuple(names + ([reading.level.name] if reading.level.name != RIGHT else []))
