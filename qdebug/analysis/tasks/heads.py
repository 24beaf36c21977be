"""Detector heads: recognizing how boxes and scores are written, and decoding them.

Every form is recognized by the number of its boxes, which is that of the cells of the grids that
the model's input is divided into, and by how the values look on the first sample. Boxes come out
in pixels of the model's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import raw_heads
from qdebug.analysis.tasks.boxes import OVERLAP, from_centers
from qdebug.analysis.tasks.grids import Grid, grids_with, likely_probabilities, sigmoid
from qdebug.analysis.tasks.task import OutputFacts, Outputs, class_names

Array = npt.NDArray[Any]
Candidates = tuple[Array, Array]
"""Corners ``[n, 4]`` in pixels of the input, and scores ``[n, classes]``."""

_V5_ANCHORS = 3
_END_TO_END_BOXES = 1000
_MASK_COEFFICIENTS = 32
_RAW_OFFSET = 8.0


@dataclass(frozen=True)
class Head:
    """A way to read boxes out of the outputs.

    Attributes:
        form: for people.
        decode: outputs of one sample to candidates, before threshold and suppression.
        overlap: for suppression; 1 where the model has suppressed overlapping boxes itself.
    """

    form: str
    decode: Callable[[Outputs], Candidates]
    overlap: float = OVERLAP


def recognize_head(facts: OutputFacts) -> Head | None:
    """The head that the outputs are written by; None where they are no known one."""
    if facts.input_size is None:
        return None
    finders = (_scores_and_boxes, _one_output, raw_heads.recognize)
    for finder in finders:
        found = finder(facts)
        if found is not None:
            return found if isinstance(found, Head) else Head(*found)
    return None


def _one_output(facts: OutputFacts) -> Head | None:
    """A head whose boxes of all levels are in one output of three dimensions."""
    for name, value in facts.outputs.items():
        if value.ndim != 3 or value.shape[0] != 1 or min(value.shape[1:]) < 5:
            continue
        found = _table(facts, name, value)
        if found is not None:
            return found
    return None


def _table(facts: OutputFacts, name: str, value: Array) -> Head | None:
    assert facts.input_size is not None
    _, rows, columns = value.shape
    if columns == 6 and rows <= _END_TO_END_BOXES and _ends_with_classes(value):
        return Head("boxes after suppression in the model", _EndToEnd(name), overlap=1.0)
    if rows >= columns:  # a detector has more boxes than numbers a box
        per_cell = grids_with(facts.input_size, rows, (1, _V5_ANCHORS))
        return None if per_cell is None else _rows(facts, name, value, *per_cell)
    if grids_with(facts.input_size, columns, (1,)) is not None:
        classes = _class_count(facts, rows)
        if classes >= 1:
            decoder = _Table(
                name, classes, 4, False, True, *_looks(facts, value[0, : 4 + classes].T)
            )
            return Head(f"YOLOv8 head, {classes} classes", decoder)
    return None


def _rows(facts: OutputFacts, name: str, value: Array, anchors: int, grid: Grid) -> Head:
    """``[1, boxes, values]``: YOLOv5, YOLOX, or YOLOv8 transposed."""
    columns = value.shape[2]
    if anchors == _V5_ANCHORS:
        classes = columns - 5
        if class_names(facts.metadata):
            classes = min(classes, len(class_names(facts.metadata)))
        decoder = _Table(name, classes, 5, True, False, *_looks(facts, value[0, :, : 5 + classes]))
        return Head(f"YOLOv5 head, {classes} classes", decoder)
    if _is_raw_yolox(value):
        is_sigmoid = likely_probabilities(value[0, :, 4:])
        form = f"YOLOX head of grid offsets, {columns - 5} classes"
        return Head(form, _Yolox(name, grid, not is_sigmoid))
    names = len(class_names(facts.metadata))
    has_objectness = columns != 84 and names != columns - 4
    first = 5 if has_objectness else 4
    looks = _looks(facts, value[0])
    decoder = _Table(name, columns - first, first, has_objectness, False, *looks)
    return Head(f"anchor-free head, {columns - first} classes", decoder)


def _class_count(facts: OutputFacts, rows: int) -> int:
    """Classes of a YOLOv8 head; mask coefficients and key points behind them do not count."""
    names = len(class_names(facts.metadata))
    if 0 < names <= rows - 4:
        return names
    prototypes = any(
        v.ndim == 4 and v.shape[1] == _MASK_COEFFICIENTS for v in facts.outputs.values()
    )
    return rows - 4 - (_MASK_COEFFICIENTS if prototypes else 0)


def _looks(facts: OutputFacts, table: Array) -> tuple[float, float, bool]:
    """How to bring a table to pixels and probabilities: factors of x and y, and sigmoid or not."""
    assert facts.input_size is not None
    normalized = float(np.max(np.abs(table[:, :4]))) <= 2.0
    factors = facts.input_size if normalized else (1.0, 1.0)
    return float(factors[0]), float(factors[1]), not likely_probabilities(table[:, 4:])


def _is_raw_yolox(value: Array) -> bool:
    """Whether centres are offsets in cells, and sizes logarithms, rather than pixels."""
    offsets = float(np.median(np.abs(value[0, :, :2])))
    return offsets < _RAW_OFFSET and float(np.max(value[0, :, 2:4])) < _RAW_OFFSET


def _ends_with_classes(value: Array) -> bool:
    scores, classes = value[0, :, 4], value[0, :, 5]
    return bool(
        np.all(classes == np.rint(classes))
        and classes.min(initial=0) >= -1
        and likely_probabilities(scores)
    )


def _scores_and_boxes(facts: OutputFacts) -> Head | None:
    """SSD style: one output ``[1, n, classes]`` of probabilities, one ``[1, n, 4]`` of corners."""
    if len(facts.outputs) != 2:
        return None
    named = list(facts.outputs.items())
    for (boxes, b), (scores, s) in (named, named[::-1]):
        if b.ndim != 3 or s.ndim != 3 or b.shape[2] != 4 or b.shape[:2] != s.shape[:2]:
            continue
        if s.shape[2] < 2 or not likely_probabilities(s):
            continue
        if not np.allclose(s.sum(axis=2), 1, atol=0.02):
            continue
        form = f"SSD head, {s.shape[2] - 1} classes and background"
        assert facts.input_size is not None
        scale = facts.input_size if float(np.max(np.abs(b))) <= 2.0 else (1, 1)
        return Head(form, _Ssd(boxes, scores, (float(scale[0]), float(scale[1]))))
    return None


@dataclass(frozen=True)
class _Table:
    """Rows of centre, size, perhaps objectness, and class scores; columns if ``transposed``."""

    output: str
    classes: int
    first: int
    objectness: bool
    transposed: bool
    x: float
    y: float
    logits: bool

    def __call__(self, outputs: Outputs) -> Candidates:
        value = outputs[self.output].reshape(outputs[self.output].shape[-2:])
        table = value.T if self.transposed else value
        scores = table[:, self.first : self.first + self.classes]
        if self.logits:
            scores = sigmoid(scores)
        if self.objectness:
            objects = table[:, 4:5]
            scores = scores * (sigmoid(objects) if self.logits else objects)
        return from_centers(table[:, :4] * (self.x, self.y, self.x, self.y)), scores


@dataclass(frozen=True)
class _Yolox:
    """Offsets in cells and logarithms of sizes; see YOLOX ``demo_postprocess``."""

    output: str
    grid: Grid
    logits: bool

    def __call__(self, outputs: Outputs) -> Candidates:
        table = np.asarray(outputs[self.output][0], np.float64)
        stride = self.grid.strides[:, None]
        centers = (table[:, :2] + self.grid.cells) * stride
        sizes = np.exp(np.clip(table[:, 2:4], -20, 20)) * stride
        scores = sigmoid(table[:, 4:]) if self.logits else table[:, 4:]
        return from_centers(np.concatenate([centers, sizes], axis=1)), scores[:, 1:] * scores[:, :1]


@dataclass(frozen=True)
class _Ssd:
    """Corners and class probabilities, background first."""

    boxes: str
    scores: str
    scale: tuple[float, float]

    def __call__(self, outputs: Outputs) -> Candidates:
        corners = outputs[self.boxes][0] * (*self.scale, *self.scale)
        return np.asarray(corners, np.float64), outputs[self.scores][0, :, 1:]


@dataclass(frozen=True)
class _EndToEnd:
    """Rows of ``x1, y1, x2, y2, score, class``."""

    output: str

    def __call__(self, outputs: Outputs) -> Candidates:
        table = np.asarray(outputs[self.output][0], np.float64)
        classes = np.clip(np.rint(table[:, 5]), 0, None).astype(np.int64)
        scores = np.zeros((len(table), int(classes.max(initial=0)) + 1))
        scores[np.arange(len(table)), classes] = table[:, 4]
        return table[:, :4], scores


def describe_outputs(outputs: Mapping[str, Array]) -> str:
    """Names and shapes, for messages."""
    return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
