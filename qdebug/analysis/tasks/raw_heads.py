"""Heads cut before the decoding: one output a level, as feature maps.

Boards often run the network up to its last convolutions and decode on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.grids import Grid, likely_probabilities, sigmoid, softmax
from qdebug.analysis.tasks.task import OutputFacts, Outputs

Array = npt.NDArray[Any]
Found = tuple[str, Callable[[Outputs], tuple[Array, Array]]]

_BINS = 16
"""Bins of YOLOv8's distribution focal loss, for each of four sides."""
_ANCHORS = {
    8.0: ((10, 13), (16, 30), (33, 23)),
    16.0: ((30, 61), (62, 45), (59, 119)),
    32.0: ((116, 90), (156, 198), (373, 326)),
}
"""YOLOv5's anchors for COCO, width and height in pixels by stride. A model of other anchors gets
other sizes, but the same on both sides."""
_BACKGROUND_LOGIT = -4.0
"""Class logits of a trained detector lie below this on average; most cells are background."""


@dataclass(frozen=True)
class _Level:
    """One level: names of its outputs and its stride in pixels."""

    outputs: tuple[str, ...]
    stride: float


def recognize(facts: OutputFacts) -> Found | None:
    """YOLOv5's or YOLOv8's outputs before decoding; None for any others."""
    levels = _levels(facts)
    if levels is None:
        return None
    values = [[facts.outputs[name] for name in level.outputs] for level in levels]
    if all(len(v) == 2 for v in values):
        return _split_v8(levels, values)
    if any(len(v) != 1 for v in values):
        return None
    return _joined(levels, [v[0] for v in values])


def _joined(levels: Sequence[_Level], maps: Sequence[Array]) -> Found | None:
    """One map a level."""
    if all(m.ndim == 5 for m in maps):
        return _v5(levels, maps[0].shape[-1], five_dimensions=True, sample=maps[0])
    channels = maps[0].shape[1]
    if any(m.ndim != 4 or m.shape[1] != channels for m in maps):
        return None
    could_be_v8 = channels > 4 * _BINS
    could_be_v5 = channels % 3 == 0 and channels >= 18
    if could_be_v8 and (not could_be_v5 or _looks_like_v8(maps[0])):
        logits = not likely_probabilities(maps[0][:, 4 * _BINS :])
        form = f"YOLOv8 feature maps, {channels - 4 * _BINS} classes"
        return form, _V8(tuple((x.outputs[0], x.outputs[0], x.stride) for x in levels), logits)
    if could_be_v5:
        return _v5(levels, channels // 3, five_dimensions=False, sample=maps[0])
    return None


def _levels(facts: OutputFacts) -> list[_Level] | None:
    """Outputs by level, finest first; None where they are not maps of halving sizes."""
    assert facts.input_size is not None
    by_stride: dict[float, list[str]] = {}
    for name, value in facts.outputs.items():
        if value.ndim not in (4, 5) or value.shape[0] != 1:
            return None
        height, width = value.shape[2:4]
        stride = facts.input_size[0] / width
        if stride not in (4, 8, 16, 32, 64) or facts.input_size[1] / height != stride:
            return None
        by_stride.setdefault(stride, []).append(name)
    if len(by_stride) < 2:
        return None
    return [_Level(tuple(names), stride) for stride, names in sorted(by_stride.items())]


def _looks_like_v8(value: Array) -> bool:
    """Whether the channels from 64 on are class logits, not three groups with objectness."""
    third = value.shape[1] // 3
    objectness = value[:, [4, 4 + third, 4 + 2 * third]]
    classes = value[:, 4 * _BINS :]
    if likely_probabilities(classes):
        return not likely_probabilities(value[:, : 4 * _BINS])
    return float(classes.mean()) < _BACKGROUND_LOGIT < float(objectness.mean())


def _v5(
    levels: Sequence[_Level], values: int, *, five_dimensions: bool, sample: Array
) -> Found | None:
    if values < 6 or any(level.stride not in _ANCHORS for level in levels):
        return None
    logits = not likely_probabilities(sample)
    decoder = _V5(tuple((x.outputs[0], x.stride) for x in levels), five_dimensions, logits)
    return f"YOLOv5 feature maps, {values - 5} classes, COCO anchors assumed", decoder


def _split_v8(levels: Sequence[_Level], values: Sequence[Sequence[Array]]) -> Found | None:
    """YOLOv8 with box and class maps apart, as several boards' exports write them."""
    chosen = []
    for level, (first, second) in zip(levels, values, strict=True):
        names = level.outputs
        if first.ndim != 4 or second.ndim != 4:
            return None
        if first.shape[1] == 4 * _BINS:
            chosen.append((names[0], names[1], level.stride))
        elif second.shape[1] == 4 * _BINS:
            chosen.append((names[1], names[0], level.stride))
        else:
            return None
    at = levels[0].outputs.index(chosen[0][1])
    classes = values[0][at]
    form = f"YOLOv8 feature maps, boxes and {classes.shape[1]} classes apart"
    return form, _V8(tuple(chosen), not likely_probabilities(classes))


def _rows(value: Array) -> Array:
    """``[1, channels, height, width]`` as ``[cells, channels]``."""
    return np.asarray(value[0].reshape(value.shape[1], -1).T, np.float64)


@dataclass(frozen=True)
class _V8:
    """Distances to four sides as distributions over 16 bins; see Ultralytics ``DFL``."""

    levels: tuple[tuple[str, str, float], ...]
    logits: bool

    def __call__(self, outputs: Outputs) -> tuple[Array, Array]:
        corners, scores = [], []
        for boxes, classes, stride in self.levels:
            height, width = outputs[boxes].shape[2:4]
            grid = Grid.of([(width, height, stride)])
            bins = _rows(outputs[boxes])[:, : 4 * _BINS].reshape(-1, 4, _BINS)
            distances = softmax(bins, axis=2) @ np.arange(_BINS, dtype=np.float64)
            centers = grid.cells + 0.5
            ends = [centers - distances[:, :2], centers + distances[:, 2:]]
            corners.append(np.concatenate(ends, axis=1) * stride)
            found = _rows(outputs[classes])
            found = found[:, 4 * _BINS :] if boxes == classes else found
            scores.append(sigmoid(found) if self.logits else found)
        return np.concatenate(corners), np.concatenate(scores)


@dataclass(frozen=True)
class _V5:
    """Offsets and sizes relative to anchors; see YOLOv5 ``Detect.forward``."""

    levels: tuple[tuple[str, float], ...]
    five_dimensions: bool
    logits: bool

    def __call__(self, outputs: Outputs) -> tuple[Array, Array]:
        corners, scores = [], []
        for name, stride in self.levels:
            table = self._table(outputs[name])
            if self.logits:
                table = sigmoid(table)
            height, width = outputs[name].shape[2:4]
            cells = Grid.of([(width, height, stride)]).cells
            for anchor, part in zip(_ANCHORS[stride], table, strict=True):
                centers = (part[:, :2] * 2 - 0.5 + cells) * stride
                sizes = (part[:, 2:4] * 2) ** 2 * anchor
                corners.append(from_centers(np.concatenate([centers, sizes], axis=1)))
                scores.append(part[:, 5:] * part[:, 4:5])
        return np.concatenate(corners), np.concatenate(scores)

    def _table(self, value: Array) -> Array:
        """``[3, cells, values]``."""
        if self.five_dimensions:
            return np.asarray(value[0].reshape(3, -1, value.shape[-1]), np.float64)
        third = value.shape[1] // 3
        return np.asarray(value[0].reshape(3, third, -1).transpose(0, 2, 1), np.float64)
