"""Outputs cut before the decoding, sorted by the grid they belong to.

Boards often run a detector up to its last convolutions and decode on the processor. Then every
level of the pyramid has outputs of its own: as maps ``[1, channels, height, width]``, the same with
channels last, or flattened to ``[1, cells, channels]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import Grid
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]
Layout = Literal["maps", "maps_last", "anchors", "rows"]

LEVEL_STRIDES = (4, 8, 16, 32, 64, 128)
"""Pixels a cell of the levels of feature pyramids, P2 to P7."""
MOST_PER_CELL = 3
"""Anchors a cell: three in YOLOv3 to v7, two in RetinaFace and SCRFD, one without anchors."""


@dataclass(frozen=True)
class Part:
    """One output at one level.

    Attributes:
        name: of the output.
        layout: ``maps`` are ``[1, anchors * channels, h, w]``, ``maps_last`` the same with channels
            last, ``anchors`` ``[1, anchors, h, w, channels]``, ``rows`` ``[1, cells * anchors,
            channels]`` with or without the first axis.
        channels: values a cell, of all its anchors.
        per_cell: anchors a cell where the layout tells it, else 1.
    """

    name: str
    layout: Layout
    channels: int
    per_cell: int = 1

    def read(self, outputs: Outputs, anchors: int = 1) -> npt.NDArray[np.float64]:
        """Values as ``[cells, anchors, channels]``, cells row by row."""
        value = np.asarray(outputs[self.name], np.float64)
        if self.layout == "anchors":
            by_anchor = value[0].reshape(value.shape[1], -1, value.shape[-1])
            return np.asarray(by_anchor.transpose(1, 0, 2))
        if self.layout == "maps":
            value = value[0].reshape(value.shape[1], -1).T
        return value.reshape(-1, anchors, self.channels * self.per_cell // anchors)


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        stride: pixels a cell.
        width: cells in a row.
        height: rows of cells.
        parts: its outputs, fewest channels first.
    """

    stride: int
    width: int
    height: int
    parts: tuple[Part, ...]

    @property
    def grid(self) -> Grid:
        """Its cells."""
        return Grid.of([(self.width, self.height, float(self.stride))])

    @property
    def channels(self) -> tuple[int, ...]:
        """Values a cell of each part."""
        return tuple(part.channels for part in self.parts)

    def part(self, channels: int) -> Part:
        """The only part of so many channels."""
        return next(part for part in self.parts if part.channels == channels)


def find_levels(facts: OutputFacts) -> tuple[Level, ...] | None:
    """The levels that the outputs make up, finest first.

    Returns:
        None unless every output belongs to one, there are two at least, and all have alike parts.
    """
    if facts.input_size is None:
        return None
    by_stride: dict[int, list[Part]] = {}
    for name, value in facts.outputs.items():
        found = _place(name, value, facts.input_size)
        if found is None:
            return None
        by_stride.setdefault(found[0], []).append(found[1])
    levels = [_level(stride, parts, facts.input_size) for stride, parts in by_stride.items()]
    levels.sort(key=lambda level: level.stride)
    alike = {(x.channels, tuple(p.per_cell for p in x.parts)) for x in levels}
    return tuple(levels) if len(levels) > 1 and len(alike) == 1 else None


def _level(stride: int, parts: Sequence[Part], size: tuple[int, int]) -> Level:
    ordered = tuple(sorted(parts, key=lambda part: part.channels))
    return Level(stride, -(-size[0] // stride), -(-size[1] // stride), ordered)


def _place(name: str, value: Array, size: tuple[int, int]) -> tuple[int, Part] | None:
    """Stride of an output, and how it is laid out."""
    for stride in LEVEL_STRIDES:
        width, height = -(-size[0] // stride), -(-size[1] // stride)
        part = _as_map(name, value, (height, width)) or _as_rows(name, value, width * height, 1)
        if part is not None:
            return stride, part
    for stride in LEVEL_STRIDES:
        cells = (-(-size[0] // stride)) * (-(-size[1] // stride))
        for count in range(2, MOST_PER_CELL + 1):
            part = _as_rows(name, value, cells, count)
            if part is not None:
                return stride, part
    return None


def _as_map(name: str, value: Array, sides: tuple[int, int]) -> Part | None:
    if value.ndim == 5 and value.shape[0] == 1 and value.shape[2:4] == sides:
        return Part(name, "anchors", value.shape[4], value.shape[1])
    if value.ndim != 4 or value.shape[0] != 1:
        return None
    if value.shape[2:] == sides:
        return Part(name, "maps", value.shape[1])
    return Part(name, "maps_last", value.shape[3]) if value.shape[1:3] == sides else None


def _as_rows(name: str, value: Array, cells: int, per_cell: int) -> Part | None:
    flat = value.shape[1:] if value.ndim == 3 and value.shape[0] == 1 else value.shape
    if len(flat) != 2 or flat[0] != cells * per_cell:
        return None
    return Part(name, "rows", flat[1], per_cell)
