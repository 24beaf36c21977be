"""Face detectors whose levels come out one by one: YuNet and SCRFD, with their landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import likely_probabilities
from qdebug.analysis.tasks.head import Cells, Head, Parts, corners_from_sides
from qdebug.analysis.tasks.levels import Level, Part, find_levels
from qdebug.analysis.tasks.raw_heads import offsets_to_corners, reads_of
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]

_BOX, _POINTS = 4, 10
"""Values a cell: of a box, and of five landmarks."""


def recognize(facts: OutputFacts) -> Head | None:
    """YuNet's or SCRFD's outputs; None for any others."""
    levels = find_levels(facts)
    if levels is None:
        return None
    channels = levels[0].channels
    if channels not in ((1, _BOX), (1, 1, _BOX), (1, _BOX, _POINTS), (1, 1, _BOX, _POINTS)):
        return None
    parts = levels[0].parts
    anchors = parts[0].per_cell
    probable = all(likely_probabilities(facts.outputs[p.name]) for p in parts if p.channels == 1)
    landmarks = ", landmarks" if _POINTS in channels else ""
    if anchors == 1 and channels[:2] == (1, 1):
        decoder = _YuNet(levels, not probable)
        form = f"YuNet head, class and objectness apart{landmarks}"
        return Head(form, decoder, reads_of(levels), points=decoder.points if landmarks else None)
    scrfd = _Scrfd(levels, anchors, not probable)
    form = f"SCRFD head, distances to four sides{landmarks}"
    points = scrfd.points if landmarks else None
    assumed = "" if anchors > 1 else "boxes are distances to four sides, in cells"
    return Head(form, scrfd, reads_of(levels), points=points, assumed=assumed)


def _scores(
    levels: Sequence[Level], outputs: Outputs, logits: bool
) -> list[npt.NDArray[np.float64]]:
    """Class score, and objectness where there is one, each ``[cells * anchors, 1]``."""
    by_level = [[_rows(p, outputs) for p in x.parts if p.channels == 1] for x in levels]
    found = [np.concatenate(parts) for parts in zip(*by_level, strict=True)]
    return found if logits else [np.clip(f, 0, 1) for f in found]


def _rows(part: Part, outputs: Outputs) -> npt.NDArray[np.float64]:
    return part.read(outputs).reshape(-1, part.channels)


@dataclass(frozen=True)
class _YuNet:
    """Geometric mean of class and objectness; see OpenCV's ``FaceDetectorYN``."""

    levels: Sequence[Level]
    logits: bool

    def __call__(self, outputs: Outputs) -> Parts:
        corners = [offsets_to_corners(_rows(x.part(_BOX), outputs), x) for x in self.levels]
        classes, objectness = _scores(self.levels, outputs, self.logits)
        return Parts(
            np.concatenate(corners),
            classes,
            objectness,
            activation="sigmoid" if self.logits else "none",
            mean=True,
            cells=Cells(np.concatenate([x.grid.strides for x in self.levels])),
        )

    def points(self, outputs: Outputs) -> Array:
        """Offsets from the cell, in cells."""
        found = []
        for level in self.levels:
            table = _rows(level.part(_POINTS), outputs).reshape(-1, _POINTS // 2, 2)
            found.append((table + level.grid.cells[:, None]) * level.stride)
        return np.concatenate(found)


@dataclass(frozen=True)
class _Scrfd:
    """Distances from the cell's corner in cells; see InsightFace ``SCRFD.forward``."""

    levels: Sequence[Level]
    anchors: int
    logits: bool

    def __call__(self, outputs: Outputs) -> Parts:
        corners = [
            corners_from_sides(self._cells(level), _rows(level.part(_BOX), outputs)) * level.stride
            for level in self.levels
        ]
        strides = [np.repeat(level.grid.strides, self.anchors) for level in self.levels]
        return Parts(
            np.concatenate(corners),
            _scores(self.levels, outputs, self.logits)[0],
            activation="sigmoid" if self.logits else "none",
            cells=Cells(np.concatenate(strides)),
        )

    def _cells(self, level: Level) -> Array:
        return np.repeat(level.grid.cells, self.anchors, axis=0)

    def points(self, outputs: Outputs) -> Array:
        """Offsets from the cell's corner, in cells."""
        found = []
        for level in self.levels:
            table = _rows(level.part(_POINTS), outputs).reshape(-1, _POINTS // 2, 2)
            found.append((table + self._cells(level)[:, None]) * level.stride)
        return np.concatenate(found)
