"""Average precision of a resample of pictures, compiled: a bootstrap needs it a thousand times.

The formulas are those of COCO's ``COCOeval`` (``evaluateImg`` and ``accumulate``): IoU 0.5 to 0.95
in steps of 0.05, precision at 101 recalls, at most 100 boxes a class and picture, all areas. The
numbers shown come from ``faster-coco-eval``; tests hold these ones to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from qdebug.datasets import BoxTruth

Array = npt.NDArray[Any]

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_A_CLASS = 100
_MISSED, _HIT, _IGNORED = 0, 1, 2


@numba.njit(cache=True)
def _match(overlaps: Array, crowd: Array, ious: Array) -> Array:
    """What each box is at each IoU: a miss, a hit, or ignored as part of a crowd.

    Args:
        overlaps: ``[boxes, objects]``, boxes best first, crowds last.
        crowd: bool ``[objects]``.
        ious: thresholds.
    """
    boxes, objects = overlaps.shape
    result = np.zeros((len(ious), boxes), np.int8)
    for at in range(len(ious)):
        taken = np.zeros(objects, np.bool_)
        for box in range(boxes):
            best = min(ious[at], 1 - 1e-10)
            found = -1
            for thing in range(objects):
                if taken[thing] and not crowd[thing]:
                    continue
                if found > -1 and not crowd[found] and crowd[thing]:
                    break
                if overlaps[box, thing] < best:
                    continue
                best = overlaps[box, thing]
                found = thing
            if found > -1:
                taken[found] = True
                result[at, box] = _IGNORED if crowd[found] else _HIT
    return result


@numba.njit(cache=True)
def _precision(states: Array, weights: Array, positives: float, recalls: Array) -> Array:
    """Average precision at each IoU of one class.

    Args:
        states: int8 ``[ious, boxes]``, boxes of all pictures, best score first.
        weights: float64 ``[boxes]``, how often the box's picture counts.
        positives: objects, by weight.
        recalls: where precision is read.
    """
    ious, boxes = states.shape
    result = np.zeros(ious)
    recall, precision = np.empty(boxes), np.empty(boxes)
    for at in range(ious):
        hits, misses = 0.0, 0.0
        for box in range(boxes):
            if states[at, box] == _HIT:
                hits += weights[box]
            elif states[at, box] == _MISSED:
                misses += weights[box]
            recall[box] = hits / positives
            precision[box] = hits / (hits + misses + 2.220446049250313e-16)
        for box in range(boxes - 2, -1, -1):
            precision[box] = max(precision[box], precision[box + 1])
        total = 0.0
        box = 0
        for wanted in recalls:
            while box < boxes and recall[box] < wanted:
                box += 1
            if box == boxes:
                break
            total += precision[box]
        result[at] = total / len(recalls)
    return result


@dataclass(frozen=True)
class _Class:
    """All boxes of one class, best score first.

    Attributes:
        states: int8 ``[ious, boxes]``.
        pictures: int64 ``[boxes]``.
        objects: float64 ``[pictures]``, objects that are no crowd.
    """

    states: Array
    pictures: Array
    objects: Array


@dataclass(frozen=True)
class AveragePrecision:
    """mAP over any resample of the pictures."""

    classes: tuple[_Class, ...]

    @classmethod
    def of(cls, truths: Sequence[BoxTruth], found: Sequence[Array]) -> AveragePrecision:
        """Match the boxes of one model.

        Args:
            truths: by picture.
            found: by picture, ``[n, 6]`` as ``decoding.Found``.
        """
        count = 1 + max((int(t.classes.max(initial=-1)) for t in truths), default=-1)
        return cls(tuple(_class(number, truths, found) for number in range(count)))

    def __call__(self, weights: npt.NDArray[np.float64]) -> dict[str, float]:
        """The mean over the classes that have an object in the resample."""
        rows = []
        for one in self.classes:
            positives = float(weights @ one.objects)
            if positives > 0:
                rows.append(_precision(one.states, weights[one.pictures], positives, RECALLS))
        table = np.array(rows, np.float64).reshape(-1, len(IOUS))
        mean = table.mean(axis=0) if len(table) else np.zeros(len(IOUS))
        return {
            "map50_95": float(mean.mean()),
            "map50": float(mean[0]),
            "map75": float(mean[5]),
        }


def _class(number: int, truths: Sequence[BoxTruth], found: Sequence[Array]) -> _Class:
    states, scores, pictures = [], [], []
    objects = np.zeros(len(truths))
    for at, (truth, boxes) in enumerate(zip(truths, found, strict=True)):
        mine = boxes[boxes[:, 5] == number]
        order = np.argsort(-mine[:, 4], kind="stable")[:MOST_A_CLASS]
        mine = mine[order]
        chosen = np.flatnonzero(truth.classes == number)
        chosen = chosen[np.argsort(truth.crowd[chosen], kind="stable")]
        crowd = truth.crowd[chosen]
        objects[at] = np.count_nonzero(~crowd)
        states.append(_match(_overlaps(mine, truth.xyxy[chosen], crowd), crowd, IOUS))
        scores.append(mine[:, 4])
        pictures.append(np.full(len(mine), at, np.int64))
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    joined = np.concatenate(states, axis=1)[:, order]
    return _Class(np.ascontiguousarray(joined), np.concatenate(pictures)[order], objects)


def _overlaps(boxes: Array, objects: Array, crowd: Array) -> npt.NDArray[np.float64]:
    """IoU ``[boxes, objects]``; with a crowd, the share of the box that lies in it."""
    low = np.maximum(boxes[:, None, :2], objects[None, :, :2])
    high = np.minimum(boxes[:, None, 2:4], objects[None, :, 2:4])
    inner = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1)
    union = areas[:, None] + (objects[:, 2:] - objects[:, :2]).prod(axis=1)[None] - inner
    union = np.where(crowd[None], areas[:, None], union)
    ratio: npt.NDArray[np.float64] = np.zeros(union.shape)
    np.divide(inner, union, out=ratio, where=union > 0)
    return ratio
