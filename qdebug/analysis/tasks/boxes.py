"""Boxes of a detector: overlap, suppression, and matching those of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CONFIDENCE = 0.25
"""Boxes below this score are not detections; Ultralytics' default."""
OVERLAP = 0.45
"""Of two boxes of one class that overlap more, the lower one is suppressed; YOLOv5's default."""
MATCH_IOU = 0.5
"""Two models' boxes of one class that overlap so much are the same detection (as in mAP@0.5)."""
MAX_CANDIDATES = 3000
"""Best boxes that suppression looks at."""


Y_FIRST = [1, 0, 3, 2]
"""Columns that bring ``y, x, ...`` to ``x, y, ...``: of corners, and of centre and size."""
_Y_FIRST_NAME = "detection_boxes"
"""Of an output of TensorFlow's Object Detection API, which writes ``ymin, xmin, ymax, xmax``."""


@dataclass(frozen=True)
class Boxes:
    """Detections.

    Attributes:
        xyxy: float64 ``[count, 4]``, ``x1, y1, x2, y2`` in pixels of the model's input.
        scores: float64 ``[count]``, in 0..1.
        classes: int64 ``[count]``.
        rows: int64 ``[count]``, which of the candidates each one is.
    """

    xyxy: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: Array) -> Boxes:
        """Some of the boxes, by index or mask."""
        return Boxes(
            self.xyxy[chosen], self.scores[chosen], self.classes[chosen], self.rows[chosen]
        )


@dataclass(frozen=True)
class Matching:
    """Which detections of the float model the quant model has too.

    Attributes:
        pairs: int64 ``[kept, 2]``, indices of the float and the quant box.
        iou: float64 ``[kept]``, their overlap.
        lost: indices of float boxes without a counterpart.
        new: indices of quant boxes without a counterpart.
    """

    pairs: npt.NDArray[np.int64]
    iou: npt.NDArray[np.float64]
    lost: npt.NDArray[np.int64]
    new: npt.NDArray[np.int64]


def from_centers(cxcywh: Array) -> npt.NDArray[np.float64]:
    """Corners ``[..., 4]`` of boxes given by centre, width and height."""
    centers, sizes = np.asarray(cxcywh, np.float64)[..., :2], np.abs(cxcywh[..., 2:4])
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=-1)


def y_first(name: str, corners: Array, size: tuple[int, int] | None = None) -> bool:
    """Whether corners are written ``y1, x1, y2, x2``.

    Overlaps are the same in either order, so this decides only where boxes are drawn, and whether
    they lie in the picture.

    Args:
        name: of the output.
        corners: ``[n, 4]``.
        size: width and height of the picture in the corners' unit, where these are not equal; None
            for boxes in 0..1, which fit in either order.

    Returns:
        True where the name says so, or more centres lie in the picture that way.
    """
    if _Y_FIRST_NAME in name.lower():
        return True
    if size is None:
        return False
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    inside = [
        ((centers >= 0) & (centers <= sides)).all(axis=1).sum() for sides in (size, size[::-1])
    ]
    return bool(inside[1] > inside[0])


def pairwise_iou(first: Array, second: Array) -> npt.NDArray[np.float64]:
    """Intersection over union of every box of ``[n, 4]`` with every one of ``[m, 4]``."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=-1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - inner
    ratio: npt.NDArray[np.float64] = np.zeros(union.shape)
    np.divide(inner, union, out=ratio, where=union > 0)
    return ratio


def suppress(boxes: Boxes, overlap: float = OVERLAP) -> Boxes:
    """Greedy non-maximum suppression within each class, best score first."""
    order = np.argsort(-boxes.scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes.take(order)
    kept: list[int] = []
    alive = np.ones(len(boxes), np.bool_)
    for at in range(len(boxes)):
        if not alive[at]:
            continue
        kept.append(at)
        rest = np.flatnonzero(alive[at + 1 :]) + at + 1
        rest = rest[boxes.classes[rest] == boxes.classes[at]]
        hidden = pairwise_iou(boxes.xyxy[at : at + 1], boxes.xyxy[rest])[0] > overlap
        alive[rest[hidden]] = False
    return boxes.take(np.array(kept, np.int64))


def finite(values: Array) -> Array:
    """``np.nan_to_num``, without a copy and its three passes where nothing is to be replaced."""
    ends = values.min(initial=0), values.max(initial=0)  # NaN if any value is
    return values if np.isfinite(ends).all() else np.nan_to_num(values)


@dataclass(frozen=True)
class Best:
    """The best class of every candidate.

    Attributes:
        scores: float64 ``[candidates]``.
        classes: int64 ``[candidates]``; of those below ``CONFIDENCE`` it may be -1, not looked for.
        low: the least score of any class; 0 where none is negative.
        high: the largest.
        finite: whether all of them are; those that are not count as ``np.nan_to_num`` has them.
    """

    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    low: float
    high: float
    finite: bool = True

    @classmethod
    def of(cls, scores: Array) -> Best:
        """Of scores ``[candidates, classes]``."""
        known = finite(scores)
        if not known.size:
            return cls(np.zeros(len(known)), np.zeros(len(known), np.int64), 0.0, 0.0)
        classes = known.argmax(axis=1).astype(np.int64)
        best = known[np.arange(len(known)), classes].astype(np.float64)
        return cls(best, classes, min(float(known.min()), 0.0), float(best.max()), known is scores)

    @classmethod
    def of_product(cls, classes: Array, objects: Array) -> Best | None:
        """Of the product of two float32 arrays, ``[candidates, classes]`` and ``[candidates, 1]``.

        Without the products: two float32 have an exact one in float64, so that of the best class is
        the best one.

        Returns:
            None where that does not hold: of values that are negative or not finite.
        """
        if classes.dtype != np.float32 or objects.dtype != np.float32 or not classes.size:
            return None
        most = classes.max(axis=1)
        ends = float(classes.min()), float(most.max()), float(objects.min()), float(objects.max())
        if not np.isfinite(ends).all() or min(ends) < 0:
            return None
        best = most * objects[:, 0].astype(np.float64)
        found = np.full(len(best), -1, np.int64)
        rows = np.flatnonzero(best >= CONFIDENCE)
        found[rows] = classes[rows].argmax(axis=1)
        return cls(best, found, 0.0, float(best.max()))


def detections(
    xyxy: Array, scores: Array, *, confidence: float = CONFIDENCE, overlap: float = OVERLAP
) -> Boxes:
    """Decoded candidates to detections: the best class of each, the threshold, suppression.

    Args:
        xyxy: ``[candidates, 4]`` corners.
        scores: ``[candidates, classes]``.
        confidence: least score.
        overlap: see ``suppress``.
    """
    return _detected(xyxy, Best.of(scores), confidence, overlap)


def detected(xyxy: Array, best: Best, overlap: float = OVERLAP) -> Boxes:
    """The same of candidates whose best class is known, from ``CONFIDENCE`` on."""
    return _detected(xyxy, best, CONFIDENCE, overlap)


def _detected(xyxy: Array, best: Best, confidence: float, overlap: float) -> Boxes:
    rows = np.flatnonzero(best.scores >= confidence)
    rows = rows[np.isfinite(xyxy[rows]).all(axis=1)]
    corners = np.asarray(xyxy[rows], np.float64)
    return suppress(Boxes(corners, best.scores[rows], best.classes[rows], rows), overlap)


def match(reference: Boxes, test: Boxes, iou: float = MATCH_IOU) -> Matching:
    """Pair the boxes of two models, one to one, of one class, largest overlap first."""
    overlaps = pairwise_iou(reference.xyxy, test.xyxy)
    overlaps[reference.classes[:, None] != test.classes[None, :]] = 0
    rows, columns = np.nonzero(overlaps >= iou)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used[0] and column not in used[1]:
            pairs.append((row, column))
            used[0].add(row)
            used[1].add(column)
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Matching(
        found,
        overlaps[found[:, 0], found[:, 1]],
        np.setdiff1d(np.arange(len(reference)), found[:, 0]),
        np.setdiff1d(np.arange(len(test)), found[:, 1]),
    )
