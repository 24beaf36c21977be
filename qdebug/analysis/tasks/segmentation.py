"""Maps of the picture: class maps, and probability maps above a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import likely_probabilities
from qdebug.analysis.tasks.task import (
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    class_names,
    share,
)
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("iou", warn=0.8, fail=0.5)
THRESHOLD = 0.3
"""A pixel of a single probability map counts from here: PaddleOCR's default for DB maps."""
_FINEST_SHARE = 8
"""A map has at least one pixel for so many of the input's, along each side."""
_PICTURE_CHANNELS = 3


def recognize(facts: OutputFacts) -> Task | None:
    """A task for the first output that is a map; None where there is none."""
    if facts.input_size is None:
        return None
    for name, value in facts.outputs.items():
        if value.ndim == 4 and value.shape[0] == 1 and _is_fine(value.shape[2:], facts):
            found = _of_map(name, value, facts)
            if found is not None:
                return found
    return None


def _is_fine(shape: tuple[int, ...], facts: OutputFacts) -> bool:
    assert facts.input_size is not None
    width, height = facts.input_size
    return shape[0] * _FINEST_SHARE >= height and shape[1] * _FINEST_SHARE >= width


def _of_map(name: str, value: Array, facts: OutputFacts) -> Task | None:
    channels = value.shape[1]
    if channels == 1:
        if not likely_probabilities(value):
            return None
        form = f"probability map {name}, threshold {THRESHOLD:g}"
        return _task(form, _Judge(name, THRESHOLD))
    told = len(class_names(facts.metadata)) == channels
    if not (told or _sums_to_one(value) or _are_logits(value)):
        return None
    return _task(f"{channels} classes a pixel in {name}", _Judge(name, None))


def _task(form: str, judge: _Judge) -> Task:
    return Task("segmentation", form, judge, total, describe, LIMITS, "decisions")


def _sums_to_one(value: Array) -> bool:
    return bool(likely_probabilities(value) and np.allclose(value.sum(axis=1), 1, atol=0.02))


def _are_logits(value: Array) -> bool:
    """Not a picture (three channels) and not heat maps of key points (values from 0 to 1)."""
    return value.shape[1] != _PICTURE_CHANNELS and float(np.abs(value).max()) > 2.0


@dataclass(frozen=True)
class _Judge:
    """Compares two maps; by class where ``threshold`` is None."""

    output: str
    threshold: float | None

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = (self._classes(outputs[self.output]) for outputs in (reference, test))
        same = float(np.count_nonzero(f == q))
        inner, union = _overlap(f, q, from_class=0 if self.threshold is None else 1)
        iou = share(float(inner.sum()), float(union.sum()))
        facts: dict[str, str | float] = {"agree": round(same / f.size, 5), "iou": round(iou, 4)}
        if self.threshold is not None:
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

    def _classes(self, value: Array) -> npt.NDArray[np.int64]:
        if self.threshold is None:
            return np.asarray(np.nan_to_num(value[0]).argmax(axis=0), np.int64)
        return np.asarray(value[0, 0] >= self.threshold, np.int64)


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
