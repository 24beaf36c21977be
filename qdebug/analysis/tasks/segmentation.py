"""Maps of the picture: class maps, and probability maps above a threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import likely_probabilities, softmax
from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    class_names,
    share,
)
from qdebug.run.model import Limit
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("iou", 0.8, 0.5, (Limit("task.agreement", 0.95, "min"),))
"""The second is for what moves borders: a nearest Upsample that became a half-pixel Resize flips 5
to 7 % of the pixels and leaves the large areas' IoU above 0.8."""
THRESHOLD = 0.3
"""A pixel of a single probability map counts from here: PaddleOCR's default for DB maps."""
_FINEST_SHARE = 8
"""A map has at least one pixel for so many of the input's, along each side."""
_PICTURE_CHANNELS = 3
_MOST_CLASSES = 1000
_COHERENT, _INCOHERENT = 0.8, 0.6
"""Shares of neighbouring pixels of one class: of maps of things, and of noise or features. By
judgement: segmentations of photographs have 0.95 and more, independent values of n classes 1/n."""
_MARGIN, _DECIDED = 0.1, 0.3
"""A pixel is decided where its class's probability exceeds the next one's by the first; maps of
things are decided on more than the second share of pixels. By judgement."""
_BETWEEN = (0.1, 0.9)
_BIMODAL, _SMOOTH = 0.2, 0.5
"""Shares of a probability map's values between these ends: a mask has few, a depth map most. By
judgement; the zoo's text detector has 0.02."""

Reader = Callable[[Array], npt.NDArray[np.int64]]


def recognize(facts: OutputFacts) -> Task | None:
    """A task for the first output that is a map; None where there is none."""
    found = (_of_output(name, value, facts) for name, value in facts.outputs.items())
    return next((task for task in found if task is not None), None)


def _of_output(name: str, value: Array, facts: OutputFacts) -> Task | None:
    if facts.input_size is None or value.ndim not in (3, 4) or value.shape[0] != 1:
        return None
    if value.ndim == 3:
        return _of_classes(name, value) if _is_fine(value.shape[1:], facts) else None
    channels_last = _channels_last(value.shape, facts)
    if channels_last is None:
        return None
    if value.shape[3 if channels_last else 1] == 1:
        return _of_classes(name, value) or _of_probabilities(name, value)
    return _of_scores(name, value, facts, channels_last)


def _channels_last(shape: tuple[int, ...], facts: OutputFacts) -> bool | None:
    """Where the channels stand; None where neither place leaves a map of the picture."""
    assert facts.input_size is not None
    width, height = facts.input_size
    possible = [
        (sides[0] * width != sides[1] * height, last)
        for last, sides, channels in ((False, shape[2:], shape[1]), (True, shape[1:3], shape[3]))
        if _is_fine(sides, facts) and channels <= _MOST_CLASSES
    ]
    return min(possible)[1] if possible else None


def _is_fine(shape: tuple[int, ...], facts: OutputFacts) -> bool:
    assert facts.input_size is not None
    width, height = facts.input_size
    return (
        min(shape) > 1 and shape[0] * _FINEST_SHARE >= height and shape[1] * _FINEST_SHARE >= width
    )


def _of_probabilities(name: str, value: Array) -> Task | None:
    if not likely_probabilities(value):
        return None
    form = f"probability map {name}, threshold {THRESHOLD:g}"

    def read(found: Array) -> npt.NDArray[np.int64]:
        return np.asarray(found.reshape(_sides(found)) >= THRESHOLD, np.int64)

    return _task(form, name, read, True, lambda outputs: _is_mask(outputs[name]))


def _of_classes(name: str, value: Array) -> Task | None:
    """A map that holds the classes themselves: whole numbers, two at least."""
    whole = np.isfinite(value).all() and np.array_equal(value, np.rint(value))
    if not whole or value.min() < 0 or value.max() < 1 or value.max() >= _MOST_CLASSES:
        return None

    def read(found: Array) -> npt.NDArray[np.int64]:
        classes = np.rint(np.nan_to_num(found.reshape(_sides(found))))
        return np.asarray(np.clip(classes, 0, _MOST_CLASSES), np.int64)

    behaves = lambda outputs: _coherent(read(outputs[name]))  # noqa: E731
    return _task(f"a class for each pixel in {name}", name, read, False, behaves)


def _sides(value: Array) -> tuple[int, int]:
    """Height and width of a map of one channel, wherever that stands."""
    return value.shape[1:3] if value.ndim == 3 or value.shape[3] == 1 else value.shape[2:4]


def _of_scores(name: str, value: Array, facts: OutputFacts, channels_last: bool) -> Task | None:
    axis = 3 if channels_last else 1
    channels = value.shape[axis]
    told = len(class_names(facts.metadata)) == channels
    distributions = _sums_to_one(value, axis)
    is_picture = channels == _PICTURE_CHANNELS and not distributions
    if not facts.declared and (is_picture or not (told or distributions or _are_logits(value))):
        return None

    def read(found: Array) -> npt.NDArray[np.int64]:
        return np.asarray(np.nan_to_num(found[0]).argmax(axis=axis - 1), np.int64)

    def behaves(outputs: Outputs) -> Behaviour:
        scores = np.moveaxis(outputs[name][0], axis - 1, 0)
        return _decided(scores, distributions) or _coherent(read(outputs[name]))

    told_by = f"the metadata names {channels} classes" if told else ""
    return _task(f"{channels} classes a pixel in {name}", name, read, False, behaves, told_by)


def _task(
    form: str,
    name: str,
    read: Reader,
    binary: bool,
    behaves: Callable[[Outputs], Behaviour],
    told: str = "",
) -> Task:
    return Task(
        "segmentation",
        form,
        _Judge(name, read, binary),
        total,
        describe,
        LIMITS,
        "decisions",
        reads=(name,),
        behaves=behaves,
        told=told,
        read=lambda outputs: read(outputs[name]),
        misread=_misread(name, read, binary),
    )


def _misread(
    name: str, read: Reader, binary: bool
) -> dict[str, Callable[[Outputs], npt.NDArray[np.int64]]]:
    """What programs make of a map by mistake: the other layout, rows as columns, its opposite."""

    def other_layout(outputs: Outputs) -> npt.NDArray[np.int64]:
        value = outputs[name]
        if value.ndim != 4:
            return read(value)
        n, *sides = value.shape
        return read(value.reshape(n, *sides[1:], sides[0]).transpose(0, 3, 1, 2))

    found = {"transposed": lambda outputs: read(outputs[name]).T}
    if binary:
        found["inverted"] = lambda outputs: 1 - read(outputs[name])
    else:
        found["channels-last"] = other_layout
    return found


def _sums_to_one(value: Array, axis: int) -> bool:
    return bool(likely_probabilities(value) and np.allclose(value.sum(axis=axis), 1, atol=0.02))


def _are_logits(value: Array) -> bool:
    """Not heat maps of key points (values from 0 to 1)."""
    return float(np.abs(value).max()) > 2.0


def _is_mask(value: Array) -> Behaviour:
    between = float(np.mean((value > _BETWEEN[0]) & (value < _BETWEEN[1])))
    told = f"{percent(between)} of the values are neither 0 nor 1"
    if between > _SMOOTH:
        return Behaviour(False, told)
    marked = bool((value >= THRESHOLD).any())
    return Behaviour(True if marked and between < _BIMODAL else None, told)


def _decided(scores: Array, distributions: bool) -> Behaviour | None:
    """Whether the classes' margins are noise; None where they are not."""
    best = np.sort(scores if distributions else softmax(scores, axis=0), axis=0)[-2:]
    decided = float(np.mean(best[1] - best[0] >= _MARGIN))
    if decided >= _DECIDED:
        return None
    return Behaviour(False, f"{percent(decided)} of the pixels are decided by a margin")


def _coherent(classes: npt.NDArray[np.int64]) -> Behaviour:
    """Whether neighbours are mostly of one class, as things are larger than a pixel."""
    same = [np.mean(classes[1:] == classes[:-1]), np.mean(classes[:, 1:] == classes[:, :-1])]
    least = float(min(same))
    told = f"{percent(least)} of the neighbouring pixels are of one class"
    return Behaviour(None if _INCOHERENT <= least < _COHERENT else least >= _COHERENT, told)


@dataclass(frozen=True)
class _Judge:
    """Compares two maps of classes; class 0 of a binary one is nothing."""

    output: str
    read: Reader
    binary: bool

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = (self.read(outputs[self.output]) for outputs in (reference, test))
        same = float(np.count_nonzero(f == q))
        inner, union = _overlap(f, q, from_class=int(self.binary))
        iou = share(float(inner.sum()), float(union.sum()))
        facts: dict[str, str | float] = {"agree": round(same / f.size, 5), "iou": round(iou, 4)}
        if self.binary:
            facts |= {"float": float(f.mean().round(5)), "quant": float(q.mean().round(5))}
        present = union > 0
        counts = {
            "pixels": float(f.size),
            "same": same,
            # A class weighs as much as any other, whatever its share of the picture.
            "iou": float((inner[present] / union[present]).sum()),
            "classes": float(present.sum()),
            "decisions": float(present.sum()) * _DECISIONS_A_MAP,
            "wrong": (1 - iou) * _DECISIONS_A_MAP,
        }
        return Effect(facts, counts, 1 - iou)


_DECISIONS_A_MAP = 4
"""A map is many pixels, but they are not independent: it weighs as so many decisions."""


def _overlap(f: Array, q: Array, from_class: int) -> tuple[Array, Array]:
    """Pixels where both, and where either, has a class; by class."""
    count = int(max(f.max(), q.max())) + 1
    both = np.bincount(f[f == q], minlength=count)
    union = np.bincount(f.ravel(), minlength=count) + np.bincount(q.ravel(), minlength=count) - both
    return both[from_class:], union[from_class:]


def total(counts: Mapping[str, float]) -> dict[str, float]:
    """Agreement of pixels and mean overlap of the classes that occur."""
    return {
        "agreement": share(counts["same"], counts["pixels"]),
        "iou": share(counts["iou"], counts["classes"]),
    }


def describe(numbers: Mapping[str, float]) -> str:
    """One sentence."""
    return (
        f"{percent(numbers['agreement'])} of the pixels agree, mean IoU of what both models mark "
        f"{numbers['iou']:.3f}"
    )
