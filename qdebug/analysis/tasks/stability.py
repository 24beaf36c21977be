"""How much of a model's answer survives a change that should not matter to it.

What a network finds in a mirrored picture is what it finds in the picture, mirrored: it was trained
on both, or learned what is the same in both. Fed otherwise than it was trained, it is often just as
sure (its values are only larger), but what it finds is noise, and noise does not survive. A line of
text is not read in a mirror; it is moved a little instead.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import OVERLAP, Boxes, detections, match
from qdebug.analysis.tasks.task import Outputs, Task

Array = npt.NDArray[Any]

_MOVED = 80
"""A line of text is moved by one part in so many of its width: less than a stroke. By judgement."""
_LOST = 0.5
"""What a lost decision takes away, where a kept one counts 1: nothing is left where the F1 of both
answers is 0.5 or less, that is, where as much is lost as is kept in each of them."""


def changed(task: Task, tensor: Array, *, channels_last: bool) -> Array:
    """The input with the change that an answer of this task should survive.

    Args:
        task: whose answer it is.
        tensor: of one picture, ``[1, channels, height, width]``.
        channels_last: it is ``[1, height, width, channels]``.
    """
    axis = 2 if channels_last else 3
    width = tensor.shape[axis]
    if task.kind != "text":
        return np.ascontiguousarray(np.flip(tensor, axis))
    by = max(width // _MOVED, 1)
    # The first columns stay: a line begins with its background.
    columns = np.r_[np.arange(by), np.arange(width - by)]
    return np.ascontiguousarray(np.take(tensor, columns, axis))


def surviving(task: Task, first: Outputs, second: Outputs, width: int) -> float:
    """How much of an answer survives.

    Args:
        task: whose answer it is.
        first: the outputs on a picture.
        second: those on what ``changed`` made of it.
        width: of the model's input, pixels.

    Returns:
        What is kept, less half of what is lost, and at least 0. What stays at its place in the
        mirror is not kept: an answer that does not depend on the picture does. Of a detection: the
        scores of the boxes; of a text: characters; of a segmentation: the share of the picture that
        is something else than the commonest class; of a classification: the probability of the
        best class by the share of the probabilities that is the same. 0 for other tasks.
    """
    measure = _MEASURES.get(task.kind)
    if measure is None or task.read is None:
        return 0.0
    return max(measure(task.read(first), task.read(second), width), 0.0)


def _boxes(first: Any, second: Any, width: int) -> float:
    one, other = _found(first), _found(second)
    corners = other.xyxy[:, [2, 1, 0, 3]]
    corners[:, [0, 2]] = width - corners[:, [0, 2]]
    mirrored = Boxes(corners, other.scores, other.classes, other.rows)
    return _both(one, mirrored) - _both(one, other)


def _both(one: Boxes, other: Boxes) -> float:
    """The scores of the boxes that are in both, less half of those that are in one; at least 0."""
    found = match(one, other)
    both = np.minimum(one.scores[found.pairs[:, 0]], other.scores[found.pairs[:, 1]])
    lost = one.scores[found.lost].sum() + other.scores[found.new].sum()
    return max(float(both.sum() - _LOST * lost), 0.0)


def _found(read: Any) -> Boxes:
    """The detections among the best candidates: noise has thousands, which suppress slowly."""
    best = np.argsort(-np.nan_to_num(read.scores).max(axis=1), kind="stable")[:_CANDIDATES]
    overlap = OVERLAP if read.suppress else 1.0
    return detections(read.corners[best], read.scores[best], overlap=overlap)


_CANDIDATES = 600
"""Two a detection at Ultralytics' most, 300; the zoo's detectors have 5 to 15 a detection, and
some thirty detections."""


def _class(first: Array, second: Array, _: int) -> float:
    one, other = _probabilities(first), _probabilities(second)
    return float(one.max() * np.minimum(one, other).sum())


def _probabilities(scores: Array) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, np.float64).reshape(-1)
    if values.min() >= 0 and abs(float(values.sum()) - 1) < _SUM_ERROR:
        return values
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


_SUM_ERROR = 0.02
"""A softmax in float16 sums to 1 within less."""


def _text(first: str, second: str, _: int) -> float:
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    kept = sum(block.size for block in matcher.get_matching_blocks())
    return kept - _LOST * (len(first) + len(second) - 2 * kept)


def _map(first: Array, second: Array, _: int) -> float:
    common = int(np.bincount(first.ravel()).argmax())
    return _same(first, second[:, ::-1], common) - _same(first, second, common)


def _same(first: Array, second: Array, common: int) -> float:
    """The share that is one class in both, less half of what differs; at least 0."""
    marked = (first != common) | (second != common)
    kept = float(np.count_nonzero(marked & (first == second)))
    lost = float(np.count_nonzero(marked)) - kept
    return max(kept - _LOST * lost, 0.0) / first.size


_MEASURES: dict[str, Callable[[Any, Any, int], float]] = {
    "detection": _boxes,
    "classification": _class,
    "text": _text,
    "segmentation": _map,
}
