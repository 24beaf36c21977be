"""COCO's mAP of detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import CONFIDENCE, Boxes, match
from qdebug.datasets import BoxTruth, Dataset, LabelledPicture
from qdebug.errors import UsageError
from qdebug.evaluation.scores.average_precision import AveragePrecision

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DetectionScorer:
    """mAP by ``faster-coco-eval``: the mean over IoU 0.5 to 0.95, at 0.5, and at 0.75."""

    dataset: Dataset

    metrics = ("map50_95", "map50", "map75")

    def scores(self, answers: Sequence[Array]) -> dict[str, float]:
        """The library's numbers; 0 where no box is found at all.

        Raises:
            UsageError: the library is not installed.
        """
        if not any(len(found) for found in answers):
            library()
            return dict.fromkeys(self.metrics, 0.0)
        return _by_library(self._truths(), answers, len(self.dataset.classes))

    def resampled(self, answers: Sequence[Array]) -> AveragePrecision:
        """The same numbers for resamples of the pictures."""
        return AveragePrecision.of(self._truths(), answers)

    def _truths(self) -> list[BoxTruth]:
        return [p.truth for p in self.dataset.pictures if isinstance(p.truth, BoxTruth)]

    def notes(self, answers: Sequence[Array]) -> tuple[str, ...]:  # noqa: ARG002 - a Scorer
        """Nothing is left open."""
        return ()

    def change(
        self,
        picture: LabelledPicture,  # noqa: ARG002 - lost and new are between the two models
        reference: Array,
        test: Array,
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """Objects lost and new, at the confidence that ``compare`` judges by."""
        sides = _confident(reference), _confident(test)
        found = match(*sides)
        lost, new = len(found.lost), len(found.new)
        if not lost and not new:
            return None
        facts = {"float": len(sides[0]), "test": len(sides[1]), "lost": lost, "new": new}
        return float(lost + new), facts


def _confident(found: Array) -> Boxes:
    chosen = found[found[:, 4] >= CONFIDENCE]
    rows = np.arange(len(chosen), dtype=np.int64)
    return Boxes(chosen[:, :4], chosen[:, 4], chosen[:, 5].astype(np.int64), rows)


def library() -> Any:
    """The library that scores boxes.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise UsageError(
            "mAP needs the library faster-coco-eval", 'pip install "qdebug[eval]"'
        ) from error
    return faster_coco_eval


def _by_library(
    truths: Sequence[BoxTruth], answers: Sequence[Array], classes: int
) -> dict[str, float]:
    coco = library()
    truth, rows = coco.COCO(_as_coco(truths, classes)), _results(answers)
    with np.errstate(all="ignore"):
        judge = coco.COCOeval_faster(truth, truth.loadRes(rows), iouType="bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    found = [float(value) for value in judge.stats[:3]]
    return dict(zip(DetectionScorer.metrics, (max(v, 0.0) for v in found), strict=True))


def _as_coco(truths: Sequence[BoxTruth], classes: int) -> dict[str, Any]:
    """Labels as a COCO data set whose ids count from 1."""
    most = max((int(t.classes.max(initial=-1)) + 1 for t in truths), default=0)
    annotations = [
        {
            "image_id": at + 1,
            "category_id": int(truth.classes[i]) + 1,
            "bbox": [*low.tolist(), *(high - low).tolist()],
            "area": float(np.prod(high - low) if math.isnan(truth.area[i]) else truth.area[i]),
            "iscrowd": int(truth.crowd[i]),
        }
        for at, truth in enumerate(truths)
        for i, (low, high) in enumerate(zip(truth.xyxy[:, :2], truth.xyxy[:, 2:], strict=True))
    ]
    return {
        "images": [{"id": at + 1} for at in range(len(truths))],
        "annotations": [{"id": n, **item} for n, item in enumerate(annotations, 1)],
        "categories": [{"id": n + 1, "name": str(n)} for n in range(max(classes, most))],
    }


def _results(answers: Sequence[Array]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": at + 1,
            "category_id": int(row[5]) + 1,
            "bbox": [row[0], row[1], row[2] - row[0], row[3] - row[1]],
            "score": row[4],
        }
        for at, found in enumerate(answers)
        for row in found.tolist()
    ]
