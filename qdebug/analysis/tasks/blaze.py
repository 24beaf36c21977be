"""MediaPipe's BlazeFace detectors: in two outputs, or in two for each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.grids import likely_probabilities, sigmoid
from qdebug.analysis.tasks.head import Activation, Head, Parts
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]
Level = tuple[int, int]
"""Pixels and anchors a cell."""

COLUMNS = (16, 18)
"""MediaPipe's faces have six points, its palms seven: four values of a box before them."""
_LEVELS: tuple[tuple[Level, ...], ...] = (
    ((8, 2), (16, 6)),
    ((8, 2), (16, 2), (32, 2)),
    ((4, 1),),
)
"""MediaPipe's ``ssd_anchors_calculator`` for its short-range face and palm detectors and its
full-range face detector: every anchor is the whole picture."""


def recognize(facts: OutputFacts) -> Head | None:
    """BlazeFace's outputs; None for any others."""
    if facts.input_size is None:
        return None
    for levels in _LEVELS:
        for columns in COLUMNS:
            boxes = _find(facts, levels, columns)
            scores = _find(facts, levels, 1)
            if boxes is not None and scores is not None and _silent(scores.read(facts.outputs)):
                return _head(facts, levels, boxes, scores)
    return None


@dataclass(frozen=True)
class _Part:
    """One output.

    Attributes:
        name: of it.
        channels_first: it is a map ``[1, channels, height, width]``.
    """

    name: str
    channels_first: bool = False


@dataclass(frozen=True)
class _Table:
    """Rows, one an anchor, out of one output or one for each level.

    Attributes:
        parts: finest level first.
        columns: values an anchor.
    """

    parts: tuple[_Part, ...]
    columns: int

    def read(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        """``[anchors, columns]``; the anchors of a cell follow each other."""
        return np.concatenate([self._rows(part, outputs[part.name]) for part in self.parts])

    def _rows(self, part: _Part, value: Array) -> npt.NDArray[np.float64]:
        found = np.asarray(value, np.float64)
        if part.channels_first:
            found = found.transpose(0, 2, 3, 1)
        return found.reshape(-1, self.columns)


def _find(facts: OutputFacts, levels: Sequence[Level], columns: int) -> _Table | None:
    """Outputs that hold so many values for every anchor; None where there are none, or several."""
    assert facts.input_size is not None
    sides = [tuple(-(-side // stride) for side in facts.input_size) for stride, _ in levels]
    counts = [w * h * many for (w, h), (_, many) in zip(sides, levels, strict=True)]
    whole = _rows(facts.outputs, sum(counts), columns)
    if len(whole) == 1:
        return _Table(tuple(whole), columns)
    parts = []
    for (width, height), (_, many), count in zip(sides, levels, counts, strict=True):
        maps = _maps(facts.outputs, (height, width), many * columns)
        parts.append(_rows(facts.outputs, count, columns) or maps)
    if any(len(part) != 1 for part in parts):
        return None
    return _Table(tuple(part[0] for part in parts), columns)


def _rows(outputs: Outputs, count: int, columns: int) -> list[_Part]:
    return [_Part(name) for name, v in outputs.items() if v.shape == (1, count, columns)]


def _maps(outputs: Outputs, sides: tuple[int, int], channels: int) -> list[_Part]:
    shapes = {(1, *sides, channels): False, (1, channels, *sides): True}
    return [_Part(n, shapes[v.shape]) for n, v in outputs.items() if v.shape in shapes]


def _silent(scores: Array) -> bool:
    """Whether most anchors call themselves background."""
    values = scores if likely_probabilities(scores) else sigmoid(scores)
    return bool(np.median(values) < 0.5)


def _head(facts: OutputFacts, levels: Sequence[Level], boxes: _Table, scores: _Table) -> Head:
    assert facts.input_size is not None
    logits = not likely_probabilities(scores.read(facts.outputs))
    decoder = _Blaze(boxes, scores, logits, _anchors(levels, facts.input_size))
    apart = f", {len(levels)} levels apart" if len(boxes.parts) > 1 else ""
    form = f"BlazeFace head of offsets from anchors{apart}, landmarks"
    reads = tuple(part.name for part in (*scores.parts, *boxes.parts))
    return Head(form, decoder, reads, points=decoder.points)


def _anchors(levels: Sequence[Level], size: tuple[int, int]) -> Array:
    """Centres in pixels, as often as there are anchors in the cell."""
    parts = []
    for stride, per_cell in levels:
        y, x = np.mgrid[: -(-size[1] // stride), : -(-size[0] // stride)]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        parts.append(np.repeat(centers, per_cell, axis=0))
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Blaze:
    """Offsets and sizes in pixels; see MediaPipe's ``tensors_to_detections_calculator``."""

    boxes: _Table
    scores: _Table
    logits: bool
    anchors: Array

    def __call__(self, outputs: Outputs) -> Parts:
        table = self.boxes.read(outputs)
        centers = self.anchors + table[:, :2]
        corners = from_centers(np.concatenate([centers, table[:, 2:4]], axis=1))
        activation: Activation = "sigmoid" if self.logits else "none"
        return Parts(corners, self.scores.read(outputs), activation=activation)

    def points(self, outputs: Outputs) -> Array:
        """Offsets in pixels, behind the four values of the box."""
        table = self.boxes.read(outputs)[:, 4:]
        return np.asarray(table.reshape(len(table), -1, 2) + self.anchors[:, None])
