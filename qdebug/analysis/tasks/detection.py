"""Detectors: boxes kept, lost and new."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import CONFIDENCE, Best, Boxes, Matching, detected, match
from qdebug.analysis.tasks.head import Head
from qdebug.analysis.tasks.heads import possible_heads
from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    OutputPart,
    Outputs,
    Task,
    TaskLimits,
    label,
    share,
)
from qdebug.run.model import Limit
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("f1", 0.9, 0.5, (Limit("task.score_change", 0.2, "max"),))
"""Scores that move by 0.2 on average cross any threshold that a user may have set; by judgement.
The zoo's sound int8 detectors stay below 0.06."""
MAX_SHOWN = 100
"""Boxes of one side that evidence holds, best first."""
_MOST_CONFIDENT, _SILENT_SHARE = 0.5, 0.2
"""A trained detector calls most of its candidates background: above the first share of confident
ones the scores do not separate, below the second they do. By judgement; COCO detectors of the zoo
stay below 0.02."""
_SOUND, _UNSOUND = 0.9, 0.5
"""Shares of the confident boxes that are boxes inside the picture: real ones, and not at all. By
judgement; the zoo's detectors have 0.99 and more, numbers that are no boxes a quarter."""


_LAST = 4
"""Outputs whose candidates are known: both models', and those with one replaced."""


def recognize(facts: OutputFacts) -> Task | None:
    """A task for a detector's outputs, None for others."""
    heads = list(possible_heads(facts))
    size = facts.input_size
    fitting = (h for h in heads if _Behaves(_Seen(h), size)(facts.outputs).speaks is not False)
    head = next(fitting, heads[0] if heads and facts.declared else None)
    if head is None:
        return None
    seen = _Seen(head)
    judge = _Judge(seen, facts.metadata)
    return Task(
        "detection",
        head.form,
        judge,
        total,
        describe,
        LIMITS,
        "decisions",
        reads=head.reads,
        behaves=_Behaves(seen, size),
        assumed=head.assumed,
        any_length=head.any_length,
        read=lambda outputs: Read(*head.decode(outputs), head.overlap < 1),
        parts=judge.parts,
        head=head,
    )


@dataclass(frozen=True)
class Read:
    """What one detector answers, before threshold and suppression.

    Attributes:
        corners: ``[n, 4]`` in pixels of the model's input.
        scores: ``[n, classes]``.
        suppress: whether overlapping boxes are left to the caller to suppress.
    """

    corners: np.ndarray
    scores: np.ndarray
    suppress: bool


class _Seen:
    """Reads the candidates of a sample's outputs; of the last ones it knows what it has read.

    Several questions are asked of the same outputs one after the other. What is kept of these is
    small; they themselves are not.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self._last: list[tuple[list[weakref.ref[Array]], tuple[Array, Best]]] = []

    def candidates(self, outputs: Outputs) -> tuple[Array, Best]:
        """Corners ``[n, 4]`` in pixels of the input, and the best class of each."""
        read = [outputs[name] for name in self.head.reads]
        for at, (known, found) in enumerate(self._last):
            if known and all(ref() is value for ref, value in zip(known, read, strict=True)):
                self._last.append(self._last.pop(at))
                return found
        parts = self.head.parts(outputs)
        found = np.array(parts.corners), parts.best()  # a copy: they may be a part of an output
        self._last.append(([weakref.ref(value) for value in read], found))
        del self._last[:-_LAST]
        return found


@dataclass(frozen=True)
class _Behaves:
    """Whether the confident candidates are boxes inside the picture, and few of all."""

    seen: _Seen
    size: tuple[int, int] | None

    def __call__(self, outputs: Outputs) -> Behaviour:
        corners, best = self.seen.candidates(outputs)
        if not -0.1 <= best.low <= best.high <= 1.1:
            return Behaviour(False, "scores outside 0..1")
        confident = best.scores >= CONFIDENCE
        if not confident.any():
            return Behaviour(None, f"no score of the float model reaches {CONFIDENCE:g}")
        share_confident = float(confident.mean())
        is_dense = self.seen.head.overlap < 1  # suppressed boxes and queries are all meant to count
        if is_dense and share_confident > _MOST_CONFIDENT:
            return Behaviour(False, f"{percent(share_confident)} of the candidates are confident")
        sound = self._sound(np.asarray(corners)[confident])
        told = f"{percent(sound)} of the confident boxes lie in the picture"
        if sound < _UNSOUND:
            return Behaviour(False, told)
        if sound < _SOUND or (is_dense and share_confident > _SILENT_SHARE):
            return Behaviour(None, told)
        return Behaviour(True, told)

    def _sound(self, corners: np.ndarray) -> float:
        """Share of boxes with x2 > x1 and y2 > y1 whose centre is inside the picture."""
        if not self.seen.head.drawable or self.size is None:
            return 1.0
        centers = (corners[:, :2] + corners[:, 2:]) / 2
        inside = ((centers >= 0) & (centers <= np.array(self.size))).all(axis=1)
        ordered = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        return float(np.mean(inside & ordered))


@dataclass(frozen=True)
class _Judge:
    seen: _Seen
    metadata: Mapping[str, str]

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        sides = self._boxes(reference), self._boxes(test)
        found = match(*sides)
        kept, lost, new = len(found.pairs), len(found.lost), len(found.new)
        iou = float(found.iou.mean()) if kept else 0.0
        facts: dict[str, str | float] = {
            "float": len(sides[0]),
            "quant": len(sides[1]),
            "kept": kept,
            "lost": lost,
            "new": new,
        }
        if kept:
            facts["iou"] = round(iou, 4)
        counts = {
            "float": float(len(sides[0])),
            "quant": float(len(sides[1])),
            "kept": float(kept),
            "iou": float(found.iou.sum()),
            "score": float(np.abs(self._score_change(sides, found)).sum()),
            "decisions": float(kept + lost + new),
            "wrong": float(lost + new),
        }
        difference = lost + new + (1 - iou if kept else 0)
        if self.seen.head.points is not None and kept:
            points = self._points((reference, test), sides, found)
            facts["landmarks"] = round(float(points.mean()), 4)
            counts |= {"landmarks": float(points.sum()), "faces": float(kept)}
            difference += float(points.mean())
        drawn = self._drawn(sides, found) if self.seen.head.drawable else None
        return Effect(facts, counts, difference, drawn)

    def parts(self, reference: Outputs, test: Outputs) -> list[OutputPart]:
        """Scores and boxes, which one tensor may hold side by side, apart from each other."""
        (corners, best), (test_corners, test_best) = map(self._best_scores, (reference, test))
        limit = {"confidence": CONFIDENCE}
        title = "Best score of every candidate"
        parts = [OutputPart(title, best, test_best, (0.0, 1.0), limit)]
        if self.seen.head.drawable:
            title = "Corners of every candidate, pixels of the input"
            parts.append(OutputPart(title, corners, test_corners))
        return parts

    def _points(
        self, outputs: tuple[Outputs, Outputs], sides: tuple[Boxes, Boxes], found: Matching
    ) -> np.ndarray:
        """Mean distance of each kept box's landmarks, as a share of the box's side."""
        assert self.seen.head.points is not None
        ends = [
            self.seen.head.points(values)[side.rows[found.pairs[:, at]]]
            for at, (values, side) in enumerate(zip(outputs, sides, strict=True))
        ]
        area = sides[0].xyxy[found.pairs[:, 0]]
        side = np.sqrt((area[:, 2:] - area[:, :2]).prod(axis=1).clip(min=1e-9))
        distance = np.linalg.norm(np.nan_to_num(ends[1] - ends[0], nan=1e9), axis=-1)
        return np.asarray(distance.mean(axis=1) / side)

    def _best_scores(self, outputs: Outputs) -> tuple[Array, Array]:
        """Corners, and the best score of each; NaN where a class has that."""
        corners, best = self.seen.candidates(outputs)
        found = best.scores if best.finite else self.seen.head.decode(outputs)[1].max(axis=1)
        return corners, np.maximum(found, 0.0)

    def _boxes(self, outputs: Outputs) -> Boxes:
        corners, best = self.seen.candidates(outputs)
        return detected(corners, best, self.seen.head.overlap)

    @staticmethod
    def _score_change(sides: tuple[Boxes, Boxes], found: Matching) -> np.ndarray:
        return sides[1].scores[found.pairs[:, 1]] - sides[0].scores[found.pairs[:, 0]]

    def _drawn(
        self, sides: tuple[Boxes, Boxes], found: Matching
    ) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        lost, new = set(found.lost.tolist()), set(found.new.tolist())
        return self._listed(sides[0], lost, "lost"), self._listed(sides[1], new, "new")

    def _listed(self, boxes: Boxes, alone: set[int], word: str) -> list[dict[str, Any]]:
        order = sorted(range(len(boxes)), key=lambda at: (at not in alone, -boxes.scores[at]))
        return [
            {
                "xyxy": boxes.xyxy[at].tolist(),
                "label": label(self.metadata, int(boxes.classes[at])),
                "score": round(float(boxes.scores[at]), 4),
                "match": word if at in alone else "kept",
            }
            for at in order[:MAX_SHOWN]
        ]


def total(counts: Mapping[str, float]) -> dict[str, float]:
    """F1 of the quant model's boxes against the float model's, and what it comes from."""
    kept = counts["kept"]
    numbers = {
        "f1": share(2 * kept, counts["float"] + counts["quant"]),
        "float": counts["float"],
        "quant": counts["quant"],
        "kept": kept,
        "lost": counts["float"] - kept,
        "new": counts["quant"] - kept,
    }
    if kept:
        numbers |= {"iou": counts["iou"] / kept, "score_change": counts["score"] / kept}
    if counts.get("faces"):
        numbers["landmark_error"] = counts["landmarks"] / counts["faces"]
    return numbers


def describe(numbers: Mapping[str, float]) -> str:
    """One sentence."""
    if not numbers["float"] and not numbers["quant"]:
        return f"neither model finds anything at confidence {CONFIDENCE:g}"
    text = (
        f"{numbers['kept']:.0f} of {numbers['float']:.0f} boxes kept at confidence "
        f"{CONFIDENCE:g}, {numbers['lost']:.0f} lost, {numbers['new']:.0f} new, "
        f"F1 {percent(numbers['f1'])}"
    )
    if numbers["kept"]:
        text += f", mean IoU of those kept {numbers['iou']:.3f}"
    if "landmark_error" in numbers:
        text += f", landmarks moved by {percent(numbers['landmark_error'])} of a box"
    return text
