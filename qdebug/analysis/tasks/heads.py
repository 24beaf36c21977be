"""Detector heads: recognizing how boxes and scores are written, and decoding them.

Every form is recognized by the number of its boxes, which is that of the cells of the grids that
the model's input is divided into, and by how the values look on the first sample. Boxes come out
in pixels of the model's input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import blaze, faces, priors, queries, raw_heads
from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.grids import Grid, grids_with, likely_probabilities, softmax
from qdebug.analysis.tasks.head import Cells, Head, Parts, corners_from_sides
from qdebug.analysis.tasks.task import OutputFacts, Outputs, class_names

Array = npt.NDArray[Any]

_V5_ANCHORS = 3
_MASK_COEFFICIENTS = 32
_RAW_OFFSET = 8.0
_NANODET_BINS = 8
"""``reg_max`` 7 of NanoDet's distribution focal loss."""


def possible_heads(facts: OutputFacts) -> Iterator[Head]:
    """The heads whose form the outputs have, the most particular first."""
    if facts.input_size is None:
        return
    finders = (
        faces.recognize,
        blaze.recognize,
        queries.recognize_queries,
        priors.recognize,
        queries.recognize_rows,
        queries.recognize_split_rows,
        _one_output,
        raw_heads.recognize,
    )
    for finder in finders:
        head = finder(facts)
        if head is not None:
            yield head


def recognize_head(facts: OutputFacts) -> Head | None:
    """The first of ``possible_heads``."""
    return next(possible_heads(facts), None)


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
    if rows >= columns:  # a detector has more boxes than numbers a box
        per_cell = grids_with(facts.input_size, rows, (1, _V5_ANCHORS))
        return None if per_cell is None else _rows(facts, name, value, *per_cell)
    found = grids_with(facts.input_size, columns, (1,))
    if found is not None:
        classes = _class_count(facts, rows)
        if classes >= 1:
            looks = _looks(facts, value[0, : 4 + classes].T)
            cells = Cells(found[1].strides)
            decoder = _Table(name, classes, 4, False, True, *looks, cells)
            return Head(f"YOLOv8 head, {classes} classes", decoder, (name,))
    return None


def _rows(facts: OutputFacts, name: str, value: Array, anchors: int, grid: Grid) -> Head:
    """``[1, boxes, values]``: YOLOv5, YOLOX, or YOLOv8 transposed."""
    columns = value.shape[2]
    if anchors == _V5_ANCHORS:
        classes = columns - 5
        if class_names(facts.metadata):
            classes = min(classes, len(class_names(facts.metadata)))
        looks = _looks(facts, value[0, :, : 5 + classes])
        decoder = _Table(name, classes, 5, True, False, *looks, anchored_cells(grid))
        return Head(f"YOLOv5 head, {classes} classes", decoder, (name,))
    nanodet = _nanodet(name, value, grid)
    if nanodet is not None:
        return nanodet
    if _is_raw_yolox(value):
        is_sigmoid = likely_probabilities(value[0, :, 4:])
        form = f"YOLOX head of grid offsets, {columns - 5} classes"
        return Head(form, _Yolox(name, grid, not is_sigmoid), (name,))
    names = len(class_names(facts.metadata))
    has_objectness = columns != 84 and names != columns - 4
    first = 5 if has_objectness else 4
    looks = _looks(facts, value[0])
    cells = Cells(grid.strides)
    decoder = _Table(name, columns - first, first, has_objectness, False, *looks, cells)
    return Head(f"anchor-free head, {columns - first} classes", decoder, (name,))


def _nanodet(name: str, value: Array, grid: Grid) -> Head | None:
    """NanoDet-Plus: class probabilities, then a distribution over eight bins for each side."""
    classes = value.shape[2] - 4 * _NANODET_BINS
    if classes < 1 or not likely_probabilities(value[0, :, :classes]):
        return None
    if likely_probabilities(value[0, :, classes:]):
        return None
    decoder = _NanoDet(name, grid, classes)
    misread = {"softmax-axis": replace(decoder, axis=1)}
    return Head(f"NanoDet head, {classes} classes", decoder, (name,), misread=misread)


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


def anchored_cells(grid: Grid) -> Cells:
    """Cells of a head with three anchors, anchor by anchor in each level: YOLOv5's for COCO."""
    strides, anchors = [], []
    for stride in dict.fromkeys(grid.strides.tolist()):
        count = int(np.count_nonzero(grid.strides == stride))
        strides.append(np.full(count * _V5_ANCHORS, stride))
        sizes = np.array(
            raw_heads.ANCHORS.get(int(stride), ((1.0, 1.0),) * _V5_ANCHORS), np.float64
        )
        anchors.append(np.repeat(sizes, count, axis=0))
    return Cells(np.concatenate(strides), np.concatenate(anchors))


def _is_raw_yolox(value: Array) -> bool:
    """Whether centres are offsets in cells, and sizes logarithms, rather than pixels."""
    offsets = float(np.median(np.abs(value[0, :, :2])))
    return offsets < _RAW_OFFSET and float(np.max(value[0, :, 2:4])) < _RAW_OFFSET


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
    cells: Cells

    def __call__(self, outputs: Outputs) -> Parts:
        value = outputs[self.output].reshape(outputs[self.output].shape[-2:])
        table = value.T if self.transposed else value
        return Parts(
            from_centers(table[:, :4] * (self.x, self.y, self.x, self.y)),
            table[:, self.first : self.first + self.classes],
            table[:, 4:5] if self.objectness else None,
            activation="sigmoid" if self.logits else "none",
            cells=self.cells,
        )


@dataclass(frozen=True)
class _Yolox:
    """Offsets in cells and logarithms of sizes; see YOLOX ``demo_postprocess``."""

    output: str
    grid: Grid
    logits: bool

    def __call__(self, outputs: Outputs) -> Parts:
        table = np.asarray(outputs[self.output][0], np.float64)
        stride = self.grid.strides[:, None]
        centers = (table[:, :2] + self.grid.cells) * stride
        sizes = np.exp(np.clip(table[:, 2:4], -20, 20)) * stride
        return Parts(
            from_centers(np.concatenate([centers, sizes], axis=1)),
            table[:, 5:],
            table[:, 4:5],
            activation="sigmoid" if self.logits else "none",
            cells=Cells(self.grid.strides),
        )


@dataclass(frozen=True)
class _NanoDet:
    """Distances to four sides in cells, from the cell's corner; see NanoDet-Plus' head."""

    output: str
    grid: Grid
    classes: int
    axis: int = 2

    def __call__(self, outputs: Outputs) -> Parts:
        table = np.asarray(outputs[self.output][0], np.float64)
        bins = table[:, self.classes :].reshape(-1, 4, _NANODET_BINS)
        sides = softmax(bins, axis=self.axis) @ np.arange(_NANODET_BINS)
        corners = corners_from_sides(self.grid.cells, sides) * self.grid.strides[:, None]
        return Parts(corners, table[:, : self.classes], cells=Cells(self.grid.strides))


def describe_outputs(outputs: Mapping[str, Array]) -> str:
    """Names and shapes, for messages."""
    return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
