"""Detectors that give one row a box: suppressed inside the model, or one query a box (DETR)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import Y_FIRST, from_centers, y_first
from qdebug.analysis.tasks.grids import likely_probabilities
from qdebug.analysis.tasks.head import Head, Parts
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]
Scoring = Literal["softmax", "sigmoid", "none"]

_MOST_ROWS = 1000
"""Boxes after suppression, or queries: detectors give 100 to 900."""
_UNIT = 0.05
"""Boxes in 0..1 may stick out so far."""
_BACKGROUND = -1.0
"""Median of the best class logit of a query under focal loss, whose bias starts at -4.6."""


def recognize_rows(facts: OutputFacts) -> Head | None:
    """Rows ``x1, y1, x2, y2, score, class``, the same behind a batch number, or Caffe's."""
    for name, value in facts.outputs.items():
        table = _table(value)
        if table is None or not len(table):
            continue
        columns = next((c for c in _COLUMNS if _fits(table, c)), None)
        if columns is not None:
            decoder = _Rows(name, columns, _scale(table[:, columns[0] : columns[0] + 4], facts))
            form = "boxes after suppression in the model"
            return Head(form, decoder, (name,), overlap=1.0, any_length=True)
    return None


def recognize_split_rows(facts: OutputFacts) -> Head | None:
    """Boxes, scores and classes after suppression apart: TensorRT's ``EfficientNMS``."""
    flat = {n: v for n, v in facts.outputs.items() if v.ndim == 2 and v.shape[0] == 1}
    for boxes, b in facts.outputs.items():
        if b.ndim != 3 or b.shape[0] != 1 or b.shape[2] != 4 or b.shape[1] > _MOST_ROWS:
            continue
        rows = {n: v for n, v in flat.items() if v.shape[1] == b.shape[1] and v.size > 1}
        classes = next((n for n, v in rows.items() if _are_classes(v)), None)
        scores = next(
            (n for n, v in rows.items() if n != classes and likely_probabilities(v)), None
        )
        if len(rows) == 2 and classes is not None and scores is not None:
            decoder = _SplitRows(boxes, scores, classes, _scale(b[0], facts), y_first(boxes, b[0]))
            form = "boxes after suppression in the model, scores and classes apart"
            return Head(form, decoder, (boxes, scores, classes), overlap=1.0, any_length=True)
    return None


def _are_classes(values: Array) -> bool:
    return bool(np.all(values == np.rint(values)) and values.min() >= -1)


_COLUMNS = ((0, 4, 5), (1, 6, 5), (3, 2, 1))
"""First of the four corners, score, class: Ultralytics' ``[n, 6]``, YOLOv7's ``[n, 7]`` behind a
batch number, and Caffe's ``DetectionOutput`` (``image, label, score, corners``)."""


def _table(value: Array) -> Array | None:
    """``[rows, 6 or 7]`` of one sample."""
    if value.ndim < 2 or any(side != 1 for side in value.shape[:-2]):
        return None
    rows, columns = value.shape[-2:]
    if columns not in (6, 7) or rows > _MOST_ROWS:
        return None
    return value.reshape(rows, columns)


def _fits(table: Array, columns: tuple[int, int, int]) -> bool:
    first, score, label = columns
    if max(columns) >= table.shape[1] or (table.shape[1] == 6) != (first == 0):
        return False
    scores, classes, boxes = table[:, score], table[:, label], table[:, first : first + 4]
    whole = bool(np.all(classes == np.rint(classes)) and classes.min() >= -1)
    filled = scores > 0
    ordered = bool(np.all(boxes[filled, 2:] >= boxes[filled, :2]))
    return whole and ordered and likely_probabilities(scores)


def _scale(boxes: Array, facts: OutputFacts) -> tuple[float, float]:
    assert facts.input_size is not None
    largest = float(np.max(np.abs(boxes), initial=0.0))
    if 0 < largest <= 2.0:
        return float(facts.input_size[0]), float(facts.input_size[1])
    return 1.0, 1.0


@dataclass(frozen=True)
class _Rows:
    output: str
    columns: tuple[int, int, int]
    scale: tuple[float, float]

    def __call__(self, outputs: Outputs) -> Parts:
        value = np.asarray(outputs[self.output], np.float64)
        table = value.reshape(value.shape[-2:])
        first, score, label = self.columns
        scores = _by_class(table[:, score], table[:, label])
        return Parts(table[:, first : first + 4] * (*self.scale, *self.scale), scores)


@dataclass(frozen=True)
class _SplitRows:
    boxes: str
    scores: str
    classes: str
    scale: tuple[float, float]
    y_first: bool

    def __call__(self, outputs: Outputs) -> Parts:
        parts = [outputs[name].reshape(-1) for name in (self.scores, self.classes)]
        boxes = np.asarray(outputs[self.boxes], np.float64).reshape(-1, 4)
        if self.y_first:
            boxes = boxes[:, Y_FIRST]
        return Parts(boxes * (*self.scale, *self.scale), _by_class(*parts))


def _by_class(scores: Array, classes: Array) -> npt.NDArray[np.float64]:
    """Scores ``[n, classes]`` of rows that have one class each."""
    labels = np.clip(np.rint(np.nan_to_num(classes)), 0, None).astype(np.int64)
    table = np.zeros((len(scores), int(labels.max(initial=0)) + 1))
    table[np.arange(len(scores)), labels] = scores
    return table


def recognize_queries(facts: OutputFacts) -> Head | None:
    """DETR-like: ``[1, queries, classes]`` of logits and ``[1, queries, 4]`` of centre and size."""
    named = [(n, v) for n, v in facts.outputs.items() if v.ndim == 3 and v.shape[0] == 1]
    for boxes, b in named:
        for scores, s in named:
            if boxes == scores or b.shape[2] != 4 or s.shape[1] != b.shape[1]:
                continue
            if b.shape[1] > _MOST_ROWS or s.shape[2] < 2 or not _are_unit_boxes(b[0]):
                continue
            scoring = _scoring(s[0])
            if scoring is not None:
                return _detr(facts, boxes, scores, scoring, s.shape[2])
    return None


def _detr(facts: OutputFacts, boxes: str, scores: str, scoring: Scoring, columns: int) -> Head:
    assert facts.input_size is not None
    classes = columns - (scoring == "softmax")
    decoder = _Detr(
        boxes, scores, scoring, (float(facts.input_size[0]), float(facts.input_size[1]))
    )
    return Head(f"DETR head, {classes} classes", decoder, (scores, boxes), overlap=1.0)


def _are_unit_boxes(boxes: Array) -> bool:
    """Centre and size in 0..1, and not corners: some are larger than their centre's distance."""
    inside = bool(boxes.min() >= -_UNIT and boxes.max() <= 1 + _UNIT)
    return inside and not bool(np.all(boxes[:, 2:] >= boxes[:, :2]))


def _scoring(scores: Array) -> Scoring | None:
    """Softmax with "no object" last (DETR), or one sigmoid a class (Deformable and RT-DETR)."""
    if likely_probabilities(scores):
        return None if np.allclose(scores.sum(axis=1), 1, atol=0.02) else "none"
    if float(np.mean(scores.argmax(axis=1) == scores.shape[1] - 1)) > 0.5:
        return "softmax"
    return "sigmoid" if float(np.median(scores.max(axis=1))) < _BACKGROUND else None


@dataclass(frozen=True)
class _Detr:
    """See ``PostProcess`` of DETR and RT-DETR."""

    boxes: str
    scores: str
    scoring: Scoring
    scale: tuple[float, float]

    def __call__(self, outputs: Outputs) -> Parts:
        corners = from_centers(outputs[self.boxes][0]) * (*self.scale, *self.scale)
        scores = np.asarray(outputs[self.scores][0], np.float64)
        background = scores.shape[1] - 1 if self.scoring == "softmax" else None
        return Parts(corners, scores, activation=self.scoring, background=background)
