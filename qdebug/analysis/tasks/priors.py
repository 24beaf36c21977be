"""Detectors of the SSD family: corners decoded in the graph, or offsets from priors.

The priors come from the graph where it holds them, else from the published configurations whose
number of boxes fits. Where there is neither, the boxes stay unread, and only which priors fire is
compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.grids import likely_probabilities, sigmoid, softmax
from qdebug.analysis.tasks.head import Candidates, Head
from qdebug.analysis.tasks.task import OutputFacts, Outputs
from qdebug.graph.model import Graph

Array = npt.NDArray[Any]

_LEAST_PRIORS = 32
_ORDERED = 0.99
"""Decoded corners are in order for all priors; of offsets taken for corners half are."""
_LANDMARKS = 10
_BLAZE_POINTS = {16: 6, 18: 7}
"""MediaPipe's faces have six points, its palms seven: four values of a box before them."""
_VARIANCES = (0.1, 0.2)
"""Of offsets and of logarithms of sizes: Caffe SSD's ``prior_variance``, kept by nearly all."""


@dataclass(frozen=True)
class _Config:
    """Square priors in pixels, level by level, cell by cell, size by size."""

    name: str
    strides: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]

    def priors(self, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """``[n, 4]``: centre and size in 0..1 of the picture."""
        parts = []
        for stride, sizes in zip(self.strides, self.sizes, strict=True):
            y, x = np.mgrid[: -(-size[1] // stride), : -(-size[0] // stride)]
            centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride / size
            sides = np.array(sizes, np.float64)[:, None] / size
            cells = np.broadcast_to(centers[:, None], (len(centers), len(sizes), 2))
            spread = np.broadcast_to(sides[None], cells.shape)
            parts.append(np.concatenate([cells, spread], axis=-1).reshape(-1, 4))
        return np.concatenate(parts)


_CONFIGS = (
    _Config("UltraFace", (8, 16, 32, 64), ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))),
    _Config("RetinaFace", (8, 16, 32), ((16, 32), (64, 128), (256, 512))),
)
"""``min_boxes`` of Ultra-Light-Fast-Generic-Face-Detector's ``fd_config``, and ``min_sizes`` of
Pytorch_Retinaface's ``cfg_mnet``."""
_BLAZE_LEVELS = (((8, 2), (16, 6)), ((8, 2), (16, 2), (32, 2)), ((4, 1),))
"""Stride and anchors a cell of MediaPipe's ``ssd_anchors_calculator`` for its short-range face and
palm detectors and its full-range face detector: every anchor is the whole picture."""


def recognize(facts: OutputFacts) -> Head | None:
    """A head of the SSD family; None for any other."""
    for boxes, scores in _pairs(facts.outputs):
        b, s = facts.outputs[boxes][0], facts.outputs[scores][0]
        if b.shape[1] == 4 and _are_corners(b):
            return _decoded(facts, boxes, scores)
        if b.shape[1] in _BLAZE_POINTS and s.shape[1] == 1:
            found = _blaze(facts, boxes, scores)
        elif b.shape[1] == 4 and s.shape[1] >= 2:
            found = _with_priors(facts, boxes, scores)
        else:
            continue
        return found or _unread(facts, scores)
    return None


def _pairs(outputs: Outputs) -> Iterator[tuple[str, str]]:
    """Outputs that could be boxes ``[1, n, 4 or more]`` and scores ``[1, n, classes]``."""
    named = [n for n, v in outputs.items() if v.ndim == 3 and v.shape[0] == 1]
    for boxes, scores in product(named, named):
        b, s = outputs[boxes], outputs[scores]
        if boxes == scores or b.shape[1] != s.shape[1] or b.shape[1] < _LEAST_PRIORS:
            continue
        is_landmarks = s.shape[2] == _LANDMARKS and len(named) > 2
        if b.shape[2] in (4, *_BLAZE_POINTS) and not is_landmarks and _reads_as_scores(s[0]):
            yield boxes, scores


def _reads_as_scores(scores: Array) -> bool:
    """Distributions, or logits of which one column wins nearly everywhere: the background."""
    if scores.shape[1] == 1:
        values = scores if likely_probabilities(scores) else sigmoid(scores)
        return bool(np.median(values) < 0.5)
    if likely_probabilities(scores):
        return bool(np.allclose(scores.sum(axis=1), 1, atol=0.02))
    best = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    return bool(best.argmax() in (0, scores.shape[1] - 1) and best.max() > 0.5 * len(scores))


def _are_corners(boxes: Array) -> bool:
    return float(np.mean((boxes[:, 2:] >= boxes[:, :2]).all(axis=1))) >= _ORDERED


@dataclass(frozen=True)
class _Scores:
    """Scores ``[n, classes]`` of one sample without the background's column."""

    output: str
    logits: bool
    background: int | None

    @classmethod
    def of(cls, outputs: Outputs, name: str) -> _Scores:
        table = outputs[name][0]
        logits = not likely_probabilities(table)
        if table.shape[1] == 1:
            return cls(name, logits, None)
        last = table.shape[1] - 1
        best = table.argmax(axis=1)
        background = last if np.count_nonzero(best == last) > np.count_nonzero(best == 0) else 0
        return cls(name, logits, background)

    @property
    def words(self) -> str:
        """What was assumed of them, for the form."""
        return "" if self.background is None else " and background"

    def __call__(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        table = np.asarray(outputs[self.output][0], np.float64)
        if self.background is None:
            return sigmoid(table) if self.logits else table
        table = softmax(table, axis=1) if self.logits else table
        return np.delete(table, self.background, axis=1)


def _form(facts: OutputFacts, scores: _Scores) -> str:
    columns = facts.outputs[scores.output].shape[2]
    classes = columns - (scores.background is not None)
    return f"{classes} class{'es' if classes != 1 else ''}{scores.words}"


def _decoded(facts: OutputFacts, boxes: str, scores: str) -> Head:
    assert facts.input_size is not None
    read = _Scores.of(facts.outputs, scores)
    unit = float(np.max(np.abs(facts.outputs[boxes]))) <= 2.0
    scale = facts.input_size if unit else (1, 1)
    decoder = _Corners(boxes, read, (float(scale[0]), float(scale[1])))
    return Head(f"SSD head, {_form(facts, read)}", decoder, (scores, boxes))


@dataclass(frozen=True)
class _Corners:
    boxes: str
    scores: _Scores
    scale: tuple[float, float]

    def __call__(self, outputs: Outputs) -> Candidates:
        corners = outputs[self.boxes][0] * (*self.scale, *self.scale)
        return np.asarray(corners, np.float64), self.scores(outputs)


def _with_priors(facts: OutputFacts, boxes: str, scores: str) -> Head | None:
    count = facts.outputs[boxes].shape[1]
    found = next(_known_priors(facts, count), None)
    if found is None:
        return None
    origin, priors = found
    assert facts.input_size is not None
    read = _Scores.of(facts.outputs, scores)
    size = np.array(facts.input_size, np.float64)
    decoder = _Offsets(boxes, read, priors, size)
    form = f"SSD head of offsets from {origin}, {_form(facts, read)}"
    landmarks = _landmarks(facts.outputs, count)
    reads = (scores, boxes, landmarks) if landmarks else (scores, boxes)
    points = _PriorPoints(landmarks, priors, size) if landmarks else None
    return Head(form, decoder, reads, points=points)


def _landmarks(outputs: Outputs, count: int) -> str | None:
    shape = (1, count, _LANDMARKS)
    return next((name for name, value in outputs.items() if value.shape == shape), None)


def _known_priors(facts: OutputFacts, count: int) -> Iterator[tuple[str, Array]]:
    """Where they come from, and centre and size in 0..1."""
    for name, value in facts.constants.items():
        table = np.asarray(value, np.float64).reshape(-1, 4)
        inside = bool(np.all(table >= -0.5) and np.all(table <= 1.5))
        if len(table) == count and inside and bool(np.all(table[:, 2:] > 0)):
            yield f"the priors {name}", table
    assert facts.input_size is not None
    for config in _CONFIGS:
        priors = config.priors(facts.input_size)
        if len(priors) == count:
            yield f"{config.name}'s priors", priors


@dataclass(frozen=True)
class _Offsets:
    """``center = prior + offset * 0.1 * size``, ``size = prior * exp(offset * 0.2)``: SSD, 2016."""

    boxes: str
    scores: _Scores
    priors: Array
    size: Array

    def __call__(self, outputs: Outputs) -> Candidates:
        table = np.asarray(outputs[self.boxes][0], np.float64)
        centers = self.priors[:, :2] + table[:, :2] * _VARIANCES[0] * self.priors[:, 2:]
        sizes = self.priors[:, 2:] * np.exp(np.clip(table[:, 2:] * _VARIANCES[1], -20, 20))
        corners = from_centers(np.concatenate([centers, sizes], axis=1))
        return corners * (*self.size, *self.size), self.scores(outputs)


@dataclass(frozen=True)
class _PriorPoints:
    """Landmarks relative to priors; see RetinaFace ``decode_landm``."""

    output: str
    priors: Array
    size: Array

    def __call__(self, outputs: Outputs) -> Array:
        table = np.asarray(outputs[self.output][0], np.float64).reshape(len(self.priors), -1, 2)
        middle, sides = self.priors[:, None, :2], self.priors[:, None, 2:]
        return np.asarray((middle + table * _VARIANCES[0] * sides) * self.size)


def _blaze(facts: OutputFacts, boxes: str, scores: str) -> Head | None:
    assert facts.input_size is not None
    count = facts.outputs[boxes].shape[1]
    for levels in _BLAZE_LEVELS:
        anchors = _blaze_anchors(levels, facts.input_size)
        if len(anchors) == count:
            read = _Scores.of(facts.outputs, scores)
            decoder = _Blaze(boxes, read, anchors)
            form = "BlazeFace head of offsets from anchors, landmarks"
            return Head(form, decoder, (scores, boxes), points=decoder.points)
    return None


def _blaze_anchors(levels: Sequence[tuple[int, int]], size: tuple[int, int]) -> Array:
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

    boxes: str
    scores: _Scores
    anchors: Array

    def __call__(self, outputs: Outputs) -> Candidates:
        table = np.asarray(outputs[self.boxes][0], np.float64)
        centers = self.anchors + table[:, :2]
        corners = from_centers(np.concatenate([centers, table[:, 2:4]], axis=1))
        return corners, self.scores(outputs)

    def points(self, outputs: Outputs) -> Array:
        """Offsets in pixels, behind the four values of the box."""
        table = np.asarray(outputs[self.boxes][0], np.float64)[:, 4:]
        return np.asarray(table.reshape(len(table), -1, 2) + self.anchors[:, None])


def _unread(facts: OutputFacts, scores: str) -> Head:
    read = _Scores.of(facts.outputs, scores)
    return Head(
        f"SSD head of offsets from unknown priors, {_form(facts, read)}; boxes not decoded",
        _Firing(read),
        (scores,),
        overlap=1.0,
        assumed="which priors fire stands for what is found",
        drawable=False,
    )


@dataclass(frozen=True)
class _Firing:
    """Each prior as a box of its own that overlaps no other: only which ones fire counts."""

    scores: _Scores

    def __call__(self, outputs: Outputs) -> Candidates:
        found = self.scores(outputs)
        at = np.arange(len(found), dtype=np.float64)
        return np.stack([at, 0 * at, at + 1, 0 * at + 1], axis=1), found


def prior_constants(graph: Graph) -> dict[str, Array]:
    """A graph's float constants ``[..., n, 4]``, which may be priors."""
    found = {}
    for name, tensor in graph.initializers.items():
        shape = tuple(tensor.dims)
        if len(shape) < 2 or shape[-1] != 4 or shape[-2] < _LEAST_PRIORS:
            continue
        value = graph.constant(name)
        if value is not None and value.dtype.kind == "f" and value.size == shape[-2] * 4:
            found[name] = value
    return found
