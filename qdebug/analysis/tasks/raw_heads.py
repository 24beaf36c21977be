"""YOLO-like heads cut before the decoding: anchors, distributions of sides, grid offsets.

Each is recognized by what its levels hold; see ``levels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.grids import likely_probabilities, sigmoid, softmax
from qdebug.analysis.tasks.head import Cells, Head, Parts, corners_from_sides
from qdebug.analysis.tasks.levels import Level, Part, find_levels
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]

BINS = {64: 16, 32: 8}
"""Bins of the distribution of each of four sides by channels: YOLOv8 to v12 (Ultralytics ``DFL``,
``reg_max`` 16) and NanoDet (``reg_max`` 7)."""
ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
"""YOLOv5's anchors for COCO, width and height in pixels by stride. A model of other anchors gets
other sizes, but the same on both sides."""
_BACKGROUND_LOGIT = -4.0
"""Class logits of a trained detector lie below this on average; most cells are background."""
_LARGEST_SIDE = 20.0
"""Logarithms of sizes are cut here before they are raised: exp(20) cells is beyond any picture."""


def recognize(facts: OutputFacts) -> Head | None:
    """A head of alike levels; None for any others."""
    levels = find_levels(facts)
    if levels is None:
        return None
    forms = (_distributions, _one_map, _split_yolox)
    return next((head for form in forms if (head := form(levels, facts.outputs))), None)


def reads_of(levels: Sequence[Level]) -> tuple[str, ...]:
    """Names of all outputs of all levels."""
    return tuple(part.name for level in levels for part in level.parts)


def _distributions(levels: Sequence[Level], outputs: Outputs) -> Head | None:
    """Distributions and classes apart, perhaps with a map of the classes' sum (RKNN)."""
    channels = levels[0].channels
    if len(channels) not in (2, 3) or _anchored(levels):
        return None
    found = [count for count in channels if count in BINS]
    rest = [count for count in channels if count not in BINS]
    if len(found) == 2:  # as many classes as a distribution has values: told by what they hold
        found, rest = found[:1], found[1:]
    if len(found) != 1 or len(rest) != len(channels) - 1:
        return None
    if len(rest) == 2 and min(rest) != 1:
        return None
    pairs = [_box_and_classes(x, found[0], max(rest), outputs) for x in levels]
    logits = not likely_probabilities(pairs[0][1].read(outputs))
    name = _family(BINS[found[0]])
    form = f"{name} feature maps, boxes and {max(rest)} classes apart"
    return _dfl(form, _Dfl(tuple(pairs), tuple(levels), BINS[found[0]], logits))


def _dfl(form: str, decoder: _Dfl) -> Head:
    misread = {"softmax-axis": replace(decoder, axis=1), "bins-first": replace(decoder, first=True)}
    return Head(form, decoder, reads_of(decoder.levels), misread=misread)


def _family(bins: int) -> str:
    return "YOLOv8" if bins == BINS[64] else "NanoDet"


def _box_and_classes(level: Level, boxes: int, classes: int, outputs: Outputs) -> tuple[Part, Part]:
    parts = [part for part in level.parts if part.channels in (boxes, classes)]
    if boxes != classes:
        return level.part(boxes), level.part(classes)
    # Class logits of a trained detector are low nearly everywhere; those of bins are not.
    ordered = sorted(parts[-2:], key=lambda part: float(part.read(outputs).mean()))
    return ordered[1], ordered[0]


def _one_map(levels: Sequence[Level], outputs: Outputs) -> Head | None:
    """All of a cell in one map: anchors, a distribution with classes, or YOLOX's row."""
    if any(len(level.parts) != 1 for level in levels):
        return None
    part = levels[0].parts[0]
    if part.layout == "anchors":
        return _v5(levels, outputs, part.channels) if part.per_cell == len(ANCHORS) else None
    if _anchored(levels):
        return None
    sample = part.read(outputs)[:, 0]
    if _is_yolox(sample):
        return _yolox(levels, outputs)
    could_be_v5 = part.channels % 3 == 0 and part.channels >= 18
    bins = _joined_bins(sample, could_be_v5)
    if bins is not None:
        logits = not likely_probabilities(sample[:, 4 * bins :])
        pairs = tuple((level.parts[0], level.parts[0]) for level in levels)
        form = f"{_family(bins)} feature maps, {part.channels - 4 * bins} classes"
        return _dfl(form, _Dfl(pairs, tuple(levels), bins, logits))
    return _v5(levels, outputs, part.channels // 3) if could_be_v5 else None


def _anchored(levels: Sequence[Level]) -> bool:
    return any(part.per_cell != 1 for level in levels for part in level.parts)


def _joined_bins(sample: Array, could_be_v5: bool) -> int | None:
    """Bins of a map of distribution and classes: NanoDet's classes come first, v8's last."""
    channels = sample.shape[1]
    if channels > 4 * BINS[64] and (not could_be_v5 or _looks_like_v8(sample)):
        return BINS[64]
    first = channels - 4 * BINS[32]
    if first >= 1 and likely_probabilities(sample[:, :first]) and not could_be_v5:
        return BINS[32]
    return None


def _looks_like_v8(sample: Array) -> bool:
    """Whether the channels from 64 on are class logits, not three groups with objectness."""
    third = sample.shape[1] // 3
    objectness = sample[:, [4, 4 + third, 4 + 2 * third]]
    classes = sample[:, 4 * BINS[64] :]
    if likely_probabilities(classes):
        return not likely_probabilities(sample[:, : 4 * BINS[64]])
    return float(classes.mean()) < _BACKGROUND_LOGIT < float(objectness.mean())


def _is_yolox(sample: Array) -> bool:
    """Offsets and logarithms of sizes, then objectness and classes that are probabilities."""
    if sample.shape[1] < 6 or likely_probabilities(sample[:, :4]):
        return False
    return likely_probabilities(sample[:, 4:])


def _yolox(levels: Sequence[Level], outputs: Outputs) -> Head:
    parts = tuple((x.parts[0], x.parts[0], x.parts[0]) for x in levels)
    classes = levels[0].channels[0] - 5
    form = f"YOLOX feature maps, {classes} classes"
    logits = not likely_probabilities(levels[0].parts[0].read(outputs)[:, 0, 4:])
    return Head(form, _GridOffsets(parts, tuple(levels), logits), reads_of(levels))


def _split_yolox(levels: Sequence[Level], outputs: Outputs) -> Head | None:
    """Box, objectness and classes apart, as maps (YOLOX cut before its concatenation)."""
    channels = levels[0].channels
    if len(channels) != 3 or channels[0] != 1 or 4 not in channels[1:] or _anchored(levels):
        return None
    if any(part.layout == "rows" for part in levels[0].parts):
        return None
    classes = next((c for c in channels[1:] if c != 4), 4)
    if classes in (4, 10):
        return None  # ten values are the landmarks of a face: see ``faces``
    parts = tuple((x.part(4), x.part(1), x.part(classes)) for x in levels)
    logits = not all(likely_probabilities(part.read(outputs)) for part in parts[0][1:])
    form = f"YOLOX feature maps, boxes, objectness and {classes} classes apart"
    return Head(form, _GridOffsets(parts, tuple(levels), logits), reads_of(levels))


def _v5(levels: Sequence[Level], outputs: Outputs, values: int) -> Head | None:
    if values < 6 or any(level.stride not in ANCHORS for level in levels):
        return None
    logits = not likely_probabilities(outputs[levels[0].parts[0].name])
    form = f"YOLOv5 feature maps, {values - 5} classes, COCO anchors assumed"
    return Head(form, _V5(tuple(levels), logits), reads_of(levels))


@dataclass(frozen=True)
class _Dfl:
    """Distances to four sides as distributions over bins; see Ultralytics ``DFL``.

    In a joined map, v8's boxes come first and NanoDet's last. By mistake the softmax runs over the
    ``axis`` 1, the sides, or the bins are taken to come ``first``.
    """

    parts: tuple[tuple[Part, Part], ...]
    levels: tuple[Level, ...]
    bins: int
    logits: bool
    axis: int = 2
    first: bool = False

    def __call__(self, outputs: Outputs) -> Parts:
        corners, scores = [], []
        for (boxes, classes), level in zip(self.parts, self.levels, strict=True):
            table, found = boxes.read(outputs)[:, 0], classes.read(outputs)[:, 0]
            if boxes is classes:
                table, found = self._split(table)
            centers = level.grid.cells + 0.5
            corners.append(corners_from_sides(centers, self._distances(table)) * level.stride)
            scores.append(found)
        return Parts(
            np.concatenate(corners),
            np.concatenate(scores),
            activation="sigmoid" if self.logits else "none",
            cells=cells_of(self.levels),
        )

    def _distances(self, table: Array) -> Array:
        bins = table.reshape(-1, 4, self.bins)
        if self.first:
            bins = table.reshape(-1, self.bins, 4).transpose(0, 2, 1)
        return np.asarray(softmax(bins, axis=self.axis) @ np.arange(self.bins))

    def _split(self, table: Array) -> tuple[Array, Array]:
        width = 4 * self.bins
        if self.bins == BINS[64]:
            return table[:, :width], table[:, width:]
        return table[:, -width:], table[:, :-width]


@dataclass(frozen=True)
class _GridOffsets:
    """Offsets in cells and logarithms of sizes; see YOLOX ``demo_postprocess``.

    ``parts`` hold boxes, objectness and classes of each level, thrice the same where joined.
    """

    parts: tuple[tuple[Part, Part, Part], ...]
    levels: tuple[Level, ...]
    logits: bool

    def __call__(self, outputs: Outputs) -> Parts:
        corners, objectness, scores = [], [], []
        for (boxes, objects, classes), level in zip(self.parts, self.levels, strict=True):
            table = boxes.read(outputs)[:, 0]
            there, found = (p.read(outputs)[:, 0] for p in (objects, classes))
            if boxes is classes:
                there, found = table[:, 4:5], table[:, 5:]
            corners.append(offsets_to_corners(table[:, :4], level))
            objectness.append(there)
            scores.append(found)
        return Parts(
            np.concatenate(corners),
            np.concatenate(scores),
            np.concatenate(objectness),
            activation="sigmoid" if self.logits else "none",
            cells=cells_of(self.levels),
        )


def cells_of(levels: Sequence[Level]) -> Cells:
    """The cells of all levels, one candidate each."""
    return Cells(np.concatenate([level.grid.strides for level in levels]))


def offsets_to_corners(table: Array, level: Level) -> npt.NDArray[np.float64]:
    """Corners of boxes whose centre is an offset from the cell and whose size is a logarithm."""
    centers = (level.grid.cells + table[:, :2]) * level.stride
    sizes = np.exp(np.clip(table[:, 2:4], -_LARGEST_SIDE, _LARGEST_SIDE)) * level.stride
    return from_centers(np.concatenate([centers, sizes], axis=1))


@dataclass(frozen=True)
class _V5:
    """Offsets and sizes relative to anchors; see YOLOv5 ``Detect.forward``."""

    levels: tuple[Level, ...]
    logits: bool

    def __call__(self, outputs: Outputs) -> Parts:
        corners, scores, strides, anchors = [], [], [], []
        for level in self.levels:
            table = level.parts[0].read(outputs, anchors=len(ANCHORS))
            cells = level.grid.cells
            for at, anchor in enumerate(ANCHORS[level.stride]):
                part = sigmoid(table[:, at, :4]) if self.logits else table[:, at, :4]
                centers = (part[:, :2] * 2 - 0.5 + cells) * level.stride
                sizes = (part[:, 2:4] * 2) ** 2 * anchor
                corners.append(from_centers(np.concatenate([centers, sizes], axis=1)))
                scores.append(table[:, at, 4:])
                strides.append(level.grid.strides)
                anchors.append(np.tile(np.array(anchor, np.float64), (len(cells), 1)))
        found = np.concatenate(scores)
        return Parts(
            np.concatenate(corners),
            found[:, 1:],
            found[:, :1],
            activation="sigmoid" if self.logits else "none",
            cells=Cells(np.concatenate(strides), np.concatenate(anchors), assumed=True),
        )
