"""From a detector's candidates to the boxes that are scored.

Two mAPs under different decodings cannot be compared, so the decoding is printed with the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.detection import Read
from qdebug.preprocess.geometry import Geometry

Array = npt.NDArray[Any]
Found = npt.NDArray[np.float64]
"""``[n, 6]``: x1, y1, x2, y2 in pixels of the picture, score, class; best score first."""

MOST_CANDIDATES = 30_000
"""Candidates that suppression looks at, best first; Ultralytics' ``max_nms``."""


@dataclass(frozen=True)
class Decoding:
    """How boxes are read; the defaults are Ultralytics' for validation, which most mAPs use.

    Attributes:
        confidence: least score.
        iou: of two boxes of one class that overlap more, the lower one is suppressed.
        most: boxes kept a picture, best first.
        multi_label: every class of a candidate above the confidence is a box, not its best alone.
    """

    confidence: float = 0.001
    iou: float = 0.6
    most: int = 300
    multi_label: bool = True

    def describe(self) -> str:
        """One phrase."""
        labels = "multi-label" if self.multi_label else "best class"
        return (
            f"confidence {self.confidence:g}, {labels}, class-wise NMS at IoU {self.iou:g}, "
            f"at most {self.most} boxes"
        )

    def boxes(self, read: Read, geometry: Geometry) -> Found:
        """The boxes of one picture.

        Args:
            read: the candidates.
            geometry: how the picture came into the model's input.
        """
        rows, classes, scores = self._chosen(read)
        corners = np.asarray(read.corners, np.float64)[rows]
        finite = np.isfinite(corners).all(axis=1)
        corners, scores, classes = corners[finite], scores[finite], classes[finite]
        if read.suppress and len(scores):
            kept = suppressed(corners, scores, classes, self.iou)
            corners, scores, classes = corners[kept], scores[kept], classes[kept]
        best = np.argsort(-scores, kind="stable")[: self.most]
        placed = geometry.to_source(corners[best]).reshape(-1, 4)
        return np.concatenate([placed, scores[best, None], classes[best, None]], axis=1)

    def _chosen(self, read: Read) -> tuple[Array, Array, Array]:
        """Candidates, their classes and scores: those above the confidence, best first."""
        table = np.nan_to_num(np.asarray(read.scores, np.float64))
        if self.multi_label:
            rows, classes = np.nonzero(table > self.confidence)
        else:
            rows = np.flatnonzero(table.max(axis=1, initial=0) > self.confidence)
            classes = table[rows].argmax(axis=1)
        scores = table[rows, classes]
        best = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
        return rows[best], classes[best].astype(np.int64), scores[best]


def suppressed(corners: Array, scores: Array, classes: Array, iou: float) -> Array:
    """Indices that greedy suppression within each class leaves, by OpenCV."""
    import cv2

    sizes = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    boxes = np.concatenate([corners[:, :2], sizes], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        boxes.tolist(), scores.tolist(), classes.tolist(), 0.0, float(iou)
    )
    return np.asarray(kept, np.int64).reshape(-1)
