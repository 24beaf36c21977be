"""Detectors: boxes kept, lost and new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdebug.analysis.tasks.boxes import CONFIDENCE, Boxes, Matching, detections, match
from qdebug.analysis.tasks.heads import Head, recognize_head
from qdebug.analysis.tasks.task import (
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    label,
    share,
)
from qdebug.vocabulary.numbers import percent

LIMITS = TaskLimits("f1", warn=0.9, fail=0.5)
MAX_SHOWN = 100
"""Boxes of one side that evidence holds, best first."""


def recognize(facts: OutputFacts) -> Task | None:
    """A task for a detector's outputs, None for others."""
    head = recognize_head(facts)
    if head is None:
        return None
    judge = _Judge(head, facts.metadata)
    return Task("detection", head.form, judge, total, describe, LIMITS, "decisions")


@dataclass(frozen=True)
class _Judge:
    head: Head
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
        return Effect(facts, counts, difference, self._drawn(sides, found))

    def _boxes(self, outputs: Outputs) -> Boxes:
        corners, scores = self.head.decode(outputs)
        return detections(corners, scores, overlap=self.head.overlap)

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
    return text
