"""Detectors of the SSD family: corners decoded in the graph, or offsets from priors.

The priors come from the graph where it holds them, else from the published configurations whose
number of boxes fits. Where there is neither, the boxes stay unread, and only which priors fire is
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import blaze
from qdebug.analysis.tasks.boxes import Y_FIRST, from_centers, y_first
from qdebug.analysis.tasks.grids import likely_probabilities, sigmoid
from qdebug.analysis.tasks.head import Activation, Head, Parts
from qdebug.analysis.tasks.known_priors import published
from qdebug.analysis.tasks.task import OutputFacts, Outputs
from qdebug.graph.model import Graph

Array = npt.NDArray[Any]

_LEAST_PRIORS = 32
_ORDERED = 0.99
"""Decoded corners are in order for all priors; of offsets taken for corners half are."""
_LANDMARKS = 10
_VARIANCES = (0.1, 0.2)
"""Of offsets and of logarithms of sizes: Caffe SSD's ``prior_variance``, kept by nearly all."""
_SILENT = 0.5
"""Most priors are background: the median of their best probabilities lies below this, where the
classes are independent and background has no column of its own."""


def recognize(facts: OutputFacts) -> Head | None:
    """A head of the SSD family; None for any other."""
    for boxes, scores in _pairs(facts.outputs):
        b, s = facts.outputs[boxes][0], facts.outputs[scores][0]
        if b.shape[1] == 4 and _are_corners(b):
            return _decoded(facts, boxes, scores)
        if b.shape[1] == 4 and s.shape[1] >= 2:
            return _with_priors(facts, boxes, scores) or _unread(facts, scores)
        if b.shape[1] in blaze.COLUMNS and s.shape[1] == 1:
            return _unread(facts, scores)
    return None


def _pairs(outputs: Outputs) -> Iterator[tuple[str, str]]:
    """Outputs that could be boxes ``[1, n, 4 or more]`` and scores ``[1, n, classes]``."""
    named = [n for n, v in outputs.items() if v.ndim == 3 and v.shape[0] == 1]
    for boxes, scores in product(named, named):
        b, s = outputs[boxes], outputs[scores]
        if boxes == scores or b.shape[1] != s.shape[1] or b.shape[1] < _LEAST_PRIORS:
            continue
        is_landmarks = s.shape[2] == _LANDMARKS and len(named) > 2
        if b.shape[2] in (4, *blaze.COLUMNS) and not is_landmarks and _reads_as_scores(s[0]):
            yield boxes, scores


def _reads_as_scores(scores: Array) -> bool:
    """Distributions, or scores of which one column wins nearly everywhere: the background.

    Independent probabilities, or their logits, are scores without such a column, too: where most
    priors are silent.
    """
    return _is_distribution(scores) or _background(scores) is not None or _are_silent(scores)


def _is_distribution(scores: Array) -> bool:
    sums = scores.sum(axis=1)
    return scores.shape[1] > 1 and likely_probabilities(scores) and np.allclose(sums, 1, atol=0.02)


def _are_silent(scores: Array) -> bool:
    best = scores.max(axis=1)
    return bool(np.median(best if likely_probabilities(scores) else sigmoid(best)) < _SILENT)


def _background(scores: Array) -> int | None:
    """The first or last column, where it wins on more than half of the priors."""
    best = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    at_an_end = best.argmax() in (0, scores.shape[1] - 1) and best.max() > 0.5 * len(scores)
    return int(best.argmax()) if at_an_end and scores.shape[1] > 1 else None


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
        if _is_distribution(table):
            best = table.argmax(axis=1)
            last = table.shape[1] - 1
            is_last = np.count_nonzero(best == last) > np.count_nonzero(best == 0)
            return cls(name, logits, last if is_last else 0)
        independent = not logits and _are_silent(table)
        return cls(name, logits, None if independent else _background(table))

    @property
    def words(self) -> str:
        """What was assumed of them, for the form."""
        return "" if self.background is None else " and background"

    def with_boxes(self, outputs: Outputs, corners: Array) -> Parts:
        """The candidates, by their corners ``[n, 4]``."""
        table = np.asarray(outputs[self.output][0], np.float64)
        activation: Activation = "sigmoid" if self.background is None else "softmax"
        if not self.logits:
            activation = "none"
        return Parts(corners, table, activation=activation, background=self.background)


def _form(facts: OutputFacts, scores: _Scores) -> str:
    columns = facts.outputs[scores.output].shape[2]
    classes = columns - (scores.background is not None)
    return f"{classes} class{'es' if classes != 1 else ''}{scores.words}"


def _decoded(facts: OutputFacts, boxes: str, scores: str) -> Head:
    assert facts.input_size is not None
    read = _Scores.of(facts.outputs, scores)
    unit = float(np.max(np.abs(facts.outputs[boxes]))) <= 2.0
    scale = facts.input_size if unit else (1, 1)
    turned = y_first(boxes, facts.outputs[boxes][0], None if unit else facts.input_size)
    decoder = _Corners(boxes, read, (float(scale[0]), float(scale[1])), turned)
    order = ", y first" if turned else ""
    return Head(f"SSD head{order}, {_form(facts, read)}", decoder, (scores, boxes))


@dataclass(frozen=True)
class _Corners:
    boxes: str
    scores: _Scores
    scale: tuple[float, float]
    y_first: bool = False

    def __call__(self, outputs: Outputs) -> Parts:
        table = outputs[self.boxes][0]
        corners = (table[:, Y_FIRST] if self.y_first else table) * (*self.scale, *self.scale)
        return self.scores.with_boxes(outputs, np.asarray(corners, np.float64))


def _with_priors(facts: OutputFacts, boxes: str, scores: str) -> Head | None:
    count = facts.outputs[boxes].shape[1]
    found = next(_known_priors(facts, count), None)
    if found is None:
        return None
    origin, priors, turned = found
    assert facts.input_size is not None
    read = _Scores.of(facts.outputs, scores)
    size = np.array(facts.input_size, np.float64)
    decoder = _Offsets(boxes, read, priors, size, turned)
    form = f"SSD head of offsets from {origin}, {_form(facts, read)}"
    landmarks = _landmarks(facts.outputs, count)
    reads = (scores, boxes, landmarks) if landmarks else (scores, boxes)
    points = _PriorPoints(landmarks, priors, size) if landmarks else None
    misread = {"variances": replace(decoder, variances=(1.0, 1.0))}
    return Head(form, decoder, reads, points=points, misread=misread)


def _landmarks(outputs: Outputs, count: int) -> str | None:
    shape = (1, count, _LANDMARKS)
    return next((name for name, value in outputs.items() if value.shape == shape), None)


def _known_priors(facts: OutputFacts, count: int) -> Iterator[tuple[str, Array, bool]]:
    """Where they come from, centre and size in 0..1, and whether the offsets begin with y.

    Those of the graph are in the order of its offsets, whichever that is.
    """
    for name, value in facts.constants.items():
        table = np.asarray(value, np.float64).reshape(-1, 4)
        inside = bool(np.all(table >= -0.5) and np.all(table <= 1.5))
        if len(table) == count and inside and bool(np.all(table[:, 2:] > 0)):
            yield f"the priors {name}", table, False
    assert facts.input_size is not None
    for known, table in published(facts.input_size, count):
        yield f"{known.name}'s priors", table, known.y_first


@dataclass(frozen=True)
class _Offsets:
    """``center = prior + offset * 0.1 * size``, ``size = prior * exp(offset * 0.2)``: SSD, 2016."""

    boxes: str
    scores: _Scores
    priors: Array
    size: Array
    y_first: bool = False
    variances: tuple[float, float] = _VARIANCES

    def __call__(self, outputs: Outputs) -> Parts:
        table = np.asarray(outputs[self.boxes][0], np.float64)
        if self.y_first:
            table = table[:, Y_FIRST]
        centers = self.priors[:, :2] + table[:, :2] * self.variances[0] * self.priors[:, 2:]
        sizes = self.priors[:, 2:] * np.exp(np.clip(table[:, 2:] * self.variances[1], -20, 20))
        corners = from_centers(np.concatenate([centers, sizes], axis=1))
        return self.scores.with_boxes(outputs, corners * (*self.size, *self.size))


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

    def __call__(self, outputs: Outputs) -> Parts:
        at = np.arange(outputs[self.scores.output].shape[1], dtype=np.float64)
        return self.scores.with_boxes(outputs, np.stack([at, 0 * at, at + 1, 0 * at + 1], axis=1))


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
