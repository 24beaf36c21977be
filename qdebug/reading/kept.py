"""Which of the candidates a program keeps: threshold, suppression, and how many at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import CONFIDENCE, OVERLAP
from qdebug.analysis.tasks.head import Parts
from qdebug.reading.decoding import suppressed
from qdebug.run.reading_results import Misreading

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_OVERLAPS = (0.3, 0.4, 0.45, 0.5, 0.6, 0.65, 0.7)
"""Usual IoUs of suppression."""
_CLEARLY = 0.03
"""By how much F1 must be better than with class-wise suppression: one box of thirty."""
_EXPLAINS = 0.9
"""F1 from which on a way to keep boxes explains which ones there are. By judgement."""
_FEWEST_LOST, _LEAST_LOST = 2, 0.05
"""Boxes that a threshold must cost, and their share: fewer are lost between two runtimes too."""
_NEAR = 0.02
"""Scores so near to a threshold fall on either side between two runtimes."""
_LEAST_PART = 1e-6
"""Scores come from files with some decimals: as much below the least one is still kept."""


@dataclass(frozen=True)
class Choice:
    """What one picture's candidates are chosen by.

    Attributes:
        parts: the candidates, as they are read.
        scores: float64 ``[n, classes]``, as the program makes them.
        rows: int64, the candidates that the board's boxes are, without repetition.
        count: boxes of the board.
        least: their lowest score.
    """

    parts: Parts
    scores: Floats
    rows: npt.NDArray[np.int64]
    count: int
    least: float


@dataclass(frozen=True)
class Way:
    """A way to suppress."""

    name: str
    iou: float
    most: int | None = None

    def kept(self, choice: Choice, confidence: float) -> Array:
        """Rows of the candidates that are kept, best first."""
        best = choice.scores.max(axis=1)
        rows = np.flatnonzero(best >= confidence - _LEAST_PART)
        rows = ordered = rows[np.argsort(-best[rows], kind="stable")]
        corners = np.asarray(choice.parts.corners, np.float64)[rows]
        classes = choice.scores[rows].argmax(axis=1)
        if self.name == "agnostic":
            classes = np.zeros(len(rows), np.int64)
        elif self.name == "centres":
            corners = _as_centres(corners)
        if self.name != "none" and len(rows):
            real = (corners[:, 2:] > corners[:, :2]).all(axis=1)  # others overlap nothing
            kept = suppressed(corners[real], best[rows[real]], classes[real], self.iou)
            rows = np.sort(np.concatenate([np.flatnonzero(real)[kept], np.flatnonzero(~real)]))
            rows = ordered[rows]
        return np.asarray(rows[: self.most])


def _as_centres(corners: Floats) -> Floats:
    """Centre and size, taken for corners: on which suppression sees no overlap as it is."""
    return np.concatenate(
        [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1
    )


_WORDS = {
    "none": (
        "nms-missing",
        "overlapping boxes are not suppressed: NMS is missing",
        "Run NMS on the decoded boxes.",
    ),
    "agnostic": (
        "nms-agnostic",
        "boxes of different classes suppress each other: NMS is class-agnostic",
        "Suppress within each class, as the model was scored.",
    ),
    "centres": (
        "nms-coordinates",
        "NMS runs on centre and size as if they were two corners",
        "Give NMS x1, y1, x2, y2.",
    ),
}


_LIMIT = "no more than {} boxes a picture are kept"


def keeping(choices: Sequence[Choice]) -> tuple[list[Misreading], dict[str, str]]:
    """The mistakes in what is kept, and the settings that were seen."""
    least = min(choice.least for choice in choices)
    classwise, iou = max(
        ((_f1(choices, Way("classes", iou), least), iou) for iou in _OVERLAPS),
        key=lambda found: (round(found[0], 3), -abs(found[1] - OVERLAP)),
    )
    settings = {"threshold": f"{least:.3g}", "NMS": f"within classes, IoU {iou:g}"}
    found = _otherwise(choices, iou, least, classwise)
    if found is None:
        return list(_threshold(choices, iou, least, classwise)), settings
    return [found], settings


def _otherwise(
    choices: Sequence[Choice], iou: float, least: float, classwise: float
) -> Misreading | None:
    """Another way to keep boxes, where it explains them and class-wise suppression does not."""
    tried = [
        (_f1(choices, Way(name, overlap), least), name)
        for name in _WORDS
        for overlap in (_OVERLAPS if name != "none" else (1.0,))
    ]
    most = _limit(choices, iou)
    if most is not None:
        tried.append((_f1(choices, Way("classes", iou, most), min(least, CONFIDENCE)), "most"))
    score = max(f1 for f1, _ in tried)
    if score < _EXPLAINS or score - classwise < _CLEARLY:
        return None
    near = {name for f1, name in tried if f1 > score - _CLEARLY}
    words = [word for name, word in _WORDS.items() if name in near]
    numbers: tuple[tuple[str, float], ...] = ()
    if "most" in near and most is not None:
        words.append(
            ("top-k", _LIMIT.format(most), "Raise the limit: more boxes are above the threshold.")
        )
        numbers = (("most", float(most)),)
    return Misreading(
        "reading-suppression",
        tuple(word[0] for word in words),
        ", or ".join(word[1] for word in words),
        words[0][2],
        numbers,
    )


def _limit(choices: Sequence[Choice], iou: float) -> int | None:
    """The number of boxes that several pictures stop at though more are above the threshold."""
    most = max(choice.count for choice in choices)
    full = [choice for choice in choices if choice.count == most]
    cut = [c for c in full if len(Way("classes", iou).kept(c, CONFIDENCE)) > most]
    return most if len(cut) > 1 else None


def _threshold(
    choices: Sequence[Choice], iou: float, least: float, classwise: float
) -> Iterator[Misreading]:
    """Boxes above the usual threshold that are missing because the board's is higher."""
    if least <= CONFIDENCE:
        return
    by_picture = [_lost(choice, iou, least) for choice in choices]
    lost, most = sum(by_picture), max(choice.count for choice in choices)
    if lost >= max(_FEWEST_LOST, _LEAST_LOST * sum(choice.count for choice in choices)):
        words = f"boxes below {least:.3g} are dropped: {lost} of those above {CONFIDENCE:g}"
        names: tuple[str, ...] = ("threshold",)
        if _f1(choices, Way("agnostic", iou), CONFIDENCE) > classwise - _CLEARLY:
            name, other, _ = _WORDS["agnostic"]
            words, names = f"{words}, or {other}", (*names, name)
        if all(c.count == most for c, n in zip(choices, by_picture, strict=True) if n):
            # A threshold would cost pictures of fewer boxes some, too.
            words, names = f"{words}, or {_LIMIT.format(most)}", (*names, "top-k")
        yield Misreading(
            "reading-suppression",
            names,
            words,
            f"Lower the threshold to {CONFIDENCE:g}, or to what the model was scored with.",
            (("threshold", round(least, 4)), ("lost", float(lost))),
            remark=True,
        )


def _lost(choice: Choice, iou: float, least: float) -> int:
    """Boxes between the usual threshold and the board's lowest score, not near either."""
    scores = choice.scores[Way("classes", iou).kept(choice, CONFIDENCE)].max(axis=1)
    clearly = (scores > CONFIDENCE + _NEAR) & (scores < least - _NEAR)
    return int(np.count_nonzero(clearly))


def _f1(choices: Sequence[Choice], way: Way, least: float) -> float:
    """How well the way gives the boxes that the board has."""
    both = kept = there = 0
    for choice in choices:
        own = set(way.kept(choice, least).tolist())
        board = set(choice.rows.tolist())
        both += len(own & board)
        kept += len(own)
        there += max(len(board), choice.count)
    return 2 * both / (kept + there) if kept + there else 1.0
