"""A board's boxes: which reading they were made by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import CONFIDENCE
from qdebug.reading import numbers
from qdebug.reading.candidates import CODES, Seen
from qdebug.reading.classes import compare_classes
from qdebug.reading.fit import (
    RIGHT,
    SAME,
    Answer,
    Reading,
    distances,
    names_of,
    search,
    simplest,
)
from qdebug.reading.kept import Choice, Way, keeping
from qdebug.reading.places import UNDONE
from qdebug.run.reading_results import Misreading, ReadingInfo, ReadingState

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

PICTURES = 8
"""Pictures that are searched, those with the most boxes."""
_MOST_BOXES = 300
_SOURCES = {
    CODES: (
        "reading-codes",
        "codes are decoded as if they were values: scale and zero point are not applied",
        "Turn the output's codes into values, (code - zero point) * scale, before decoding.",
    ),
    "softmax-axis": (
        "reading-boxes",
        "the softmax of the sides' distributions runs over the wrong axis",
        "Take the softmax over the bins of each side.",
    ),
    "bins-first": (
        "reading-boxes",
        "the distributions are read bin by bin instead of side by side",
        "Read the channels as [4 sides, bins].",
    ),
    "variances": (
        "reading-boxes",
        "the variances of the priors are left out",
        "Multiply offsets by 0.1 and logarithms of sizes by 0.2.",
    ),
    "class-softmax-axis": (
        "reading-scores",
        "the softmax of the classes runs over the candidates",
        "Take the softmax over the classes of each candidate.",
    ),
    "background": (
        "reading-classes",
        "the background is taken for a class",
        "Leave the background's column out before looking for the best class.",
    ),
}
"""Finding, words and advice of the ways in which a head's outputs are read otherwise."""


def read_boxes(
    by_basis: Mapping[str, Sequence[Seen]], answers: Sequence[Answer], name: str, title: str
) -> tuple[ReadingInfo, Mapping[str, str]]:
    """Find how a board made its boxes.

    Args:
        by_basis: candidates of every picture, by whose tensors they are of, nearest first.
        answers: the board's boxes of every picture.
        name: of their file.
        title: of its form.

    Returns:
        What was found, and the settings that were seen.
    """
    total = sum(len(answer.scores) for answer in answers)
    if not total:
        return _nothing(by_basis, answers, name, title), {}
    chosen = sorted(range(len(answers)), key=lambda at: -len(answers[at].scores))[:PICTURES]
    chosen = [at for at in chosen if len(answers[at].scores)]
    found = {
        basis: search([(pictures[at], answers[at]) for at in chosen])
        for basis, pictures in by_basis.items()
    }
    basis = min(found, key=lambda b: (round(found[b][0].cost, 3), list(found).index(b)))
    work = _Work(found[basis], by_basis[basis], answers)
    info = ReadingInfo(
        name,
        title,
        work.state,
        basis,
        pictures=len(answers),
        answers=total,
        agreeing=work.agreeing(work.plain),
        explained=work.agreeing(work.best) if work.best.fits else 0,
        mistakes=tuple(work.mistakes),
        notes=tuple(work.notes),
    )
    return info, work.settings


def _nothing(
    by_basis: Mapping[str, Sequence[Seen]], answers: Sequence[Answer], name: str, title: str
) -> ReadingInfo:
    """The board found nothing at all."""
    counts = {b: sum(_found(s) for s in pictures) for b, pictures in by_basis.items()}
    nearest = next(iter(counts))
    state: ReadingState = "nothing" if counts[nearest] else "same"
    note = f"qdebug's own decoding finds {counts[nearest]} boxes in the {nearest} tensors"
    return ReadingInfo(name, title, state, nearest, len(answers), notes=(note,))


def _found(seen: Seen) -> int:
    """Boxes that qdebug finds itself."""
    scores = seen.right.scores()
    choice = Choice(seen.right, scores, np.zeros(0, np.int64), 0, 0.0)
    return len(Way("classes" if seen.suppress else "none", 0.45).kept(choice, CONFIDENCE))


@dataclass(frozen=True)
class _Matched:
    """One picture under a reading."""

    seen: Seen
    answer: Answer
    rows: npt.NDArray[np.int64]
    losses: Floats
    boxes: Floats
    scores: Floats


class _Work:
    """From the readings of one basis to mistakes."""

    def __init__(
        self, readings: Sequence[Reading], pictures: Sequence[Seen], answers: Sequence[Answer]
    ) -> None:
        self.pictures, self.answers = pictures, answers
        self.plain = next(r for r in readings if not r.mistakes)
        alike = simplest(readings)
        self.best = alike[0]
        self.notes: list[str] = []
        self.settings: dict[str, str] = {}
        self.mistakes: list[Misreading] = []
        self.state: ReadingState = "unexplained"
        if self.best.fits:
            self._explain(alike)
        else:
            self._by_anchors()

    def agreeing(self, reading: Reading) -> int:
        """Boxes that a reading gives."""
        return sum(int(np.count_nonzero(m.losses <= SAME)) for m in self._matched(reading))

    def _explain(self, alike: Sequence[Reading]) -> None:
        self.mistakes, several = _told(alike)
        matched = self._matched(self.best)
        if self.best.source == RIGHT:
            self._look_at_numbers(matched)
            self._look_at_classes(matched)
            if self.pictures[0].suppress:
                kept, self.settings = keeping([_choice(m) for m in matched if len(m.rows)])
                # NMS that is given centres as corners fails with them: it is the same mistake.
                follows = any("centre-as-corners" in m.names for m in self.mistakes)
                self.mistakes += [
                    m for m in kept if not follows or "nms-coordinates" not in m.names
                ]
        self.state = "explained" if any(not m.remark for m in self.mistakes) else "same"
        if several:
            self.state = "not_identifiable"

    def _look_at_numbers(self, matched: Sequence[_Matched]) -> None:
        pairs = [pair for m in matched for pair in _pairs(m)]
        if self.best.place.undo is UNDONE and not self.best.place.mistakes:
            found = numbers.shift(pairs)
            if found is not None:
                self.mistakes.append(found)

    def _look_at_classes(self, matched: Sequence[_Matched]) -> None:
        own, board = [], []
        count = matched[0].scores.shape[1]
        for m in matched:
            near = m.losses <= SAME
            own += m.scores[m.rows[near]].argmax(axis=1).tolist()
            board += m.answer.classes[near].tolist()
        found, note = compare_classes(own, board, count)
        self.mistakes += found
        self.notes += [note] if note else []

    def _by_anchors(self) -> None:
        """Boxes whose centres fit and whose sizes are those of other anchors."""
        found = numbers.anchors([p for m in self._matched(self.plain, True) for p in _pairs(m, 1)])
        if found is not None:
            cells = self.pictures[0].right.cells
            assumed = cells is not None and cells.assumed
            self.mistakes.append(replace(found, remark=assumed))
            self.state = "same" if assumed else "explained"

    def _matched(self, reading: Reading, centres: bool = False) -> list[_Matched]:
        pictures = zip(self.pictures, self.answers, strict=True)
        return [_match(reading, seen, answer, centres) for seen, answer in pictures]


def _match(reading: Reading, seen: Seen, answer: Answer, centres: bool) -> _Matched:
    parts = seen.readings[reading.source]
    made, scores = reading.place.boxes(parts, seen.geometry), reading.level.make(parts)
    assert made is not None
    assert scores is not None
    answer = answer.best(_MOST_BOXES)
    boxes, sides = made
    board, own = (_centred(answer.corners), _centred(boxes)) if centres else (answer.corners, boxes)
    apart = distances(board, own, sides, seen.geometry.source)
    best = scores.max(axis=1)
    level = reading.level.distance(answer.scores, best)
    if reading.source == CODES:
        level = level / (1 + np.abs(best))[None]
    total = apart + np.minimum(level, 1.0)
    rows = _assigned(total)
    losses = total[np.arange(len(rows)), rows]
    return _Matched(seen, answer, rows, losses, boxes, scores)


def _assigned(total: Floats) -> npt.NDArray[np.int64]:
    """The nearest candidate of each box, one to one as far as there are so many, best first."""
    rows = np.zeros(len(total), np.int64)
    free = np.zeros(total.shape[1])
    for at in np.argsort(total.min(axis=1), kind="stable") if total.size else ():
        rows[at] = int((total[at] + free).argmin())
        free[rows[at]] = 2.0
    return rows


def _centred(corners: Floats) -> Floats:
    center = (corners[:, :2] + corners[:, 2:]) / 2
    return np.concatenate([center, center], axis=1)


def _pairs(matched: _Matched, most: float = SAME) -> list[numbers.Match]:
    cells = matched.seen.right.cells
    geometry = matched.seen.geometry
    scale = float(np.sqrt(np.prod(geometry.scale)))
    found = []
    for at in np.flatnonzero(matched.losses <= most):
        row = int(matched.rows[at])
        group = None
        if cells is not None and cells.anchors is not None:
            group = (float(cells.strides[row]), *cells.anchors[row].tolist())
        found.append(
            numbers.Match(
                matched.answer.corners[at],
                matched.boxes[row],
                geometry.source,
                scale,
                group,
                float(matched.answer.scores[at]),
            )
        )
    return found


def _choice(matched: _Matched) -> Choice:
    near = matched.losses <= SAME
    return Choice(
        matched.seen.right,
        matched.scores,
        np.unique(matched.rows[near]),
        len(matched.answer.scores),
        float(matched.answer.scores.min()),
    )


def _told(alike: Sequence[Reading]) -> tuple[list[Misreading], bool]:
    """The mistakes of the readings that explain the boxes, in words.

    Those that all of them have stand by themselves; the others are alternatives.

    Returns:
        The mistakes, and whether alternatives belong to different findings.
    """
    if not alike[0].mistakes:
        return [], False
    common = set.intersection(*(set(names_of(r)) for r in alike))
    told = [m for m in _mistakes_of(alike[0]) if m.names[0] in common]
    others = [m for r in alike for m in _mistakes_of(r) if m.names[0] not in common]
    by_name = {m.names[0]: m for m in others}
    if by_name:
        every = list(by_name.values())
        told.append(
            Misreading(
                every[0].slug,
                tuple(by_name),
                ", or ".join(m.words for m in every),
                every[0].advice,
            )
        )
    return told, len({m.slug for m in by_name.values()}) > 1


def _mistakes_of(reading: Reading) -> list[Misreading]:
    found = []
    if reading.source != RIGHT:
        slug, words, advice = _SOURCES[reading.source]
        found.append(Misreading(slug, (reading.source,), words, advice))
    for hand in reading.place.mistakes:
        slug = "reading-placing" if hand is reading.place.undo else "reading-boxes"
        found.append(Misreading(slug, (hand.name,), hand.words, hand.advice, remark=hand.remark))
    if reading.level.name != RIGHT:
        level = reading.level
        found.append(Misreading("reading-scores", (level.name,), level.words, level.advice))
    return found
