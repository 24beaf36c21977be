"""Mean IoU of class maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.datasets import Dataset, LabelledPicture
from qdebug.datasets.masks import IGNORED
from qdebug.preprocess.geometry import Geometry
from qdebug.reading.maps import on_picture

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class MapAnswer:
    """One model's map of one picture, counted against its mask.

    Attributes:
        counts: float64 ``[classes, 3]``: pixels that both give the class, that the model gives,
            that the mask gives.
    """

    counts: npt.NDArray[np.float64]


def answer(found: Array, mask: Array, geometry: Geometry) -> MapAnswer:
    """Count a map against a mask.

    Args:
        found: int64 ``[h, w]``, the model's class of each pixel of its map.
        mask: int64 ``[height, width]`` of the picture.
        geometry: how the picture came into the model's input. Each pixel of the mask takes the
            class of the map's pixel that its centre falls in; where it falls beside the map, it is
            not counted.
    """
    classes_there, inside = on_picture(found, (mask.shape[0], mask.shape[1]), geometry)
    counted = inside & (mask != IGNORED)
    test, truth = classes_there[counted], mask[counted]
    classes = int(max(test.max(initial=0), truth.max(initial=0))) + 1
    parts = [np.bincount(v, minlength=classes) for v in (test[test == truth], test, truth)]
    return MapAnswer(np.stack(parts, axis=1).astype(np.float64))


@dataclass(frozen=True)
class SegmentationScorer:
    """Mean IoU over the classes that the masks or the model show, and the share of pixels right."""

    dataset: Dataset

    metrics = ("miou", "pixel_accuracy")

    def scores(self, answers: Sequence[MapAnswer]) -> dict[str, float]:
        """Over all pictures together."""
        return self.resampled(answers)(np.ones(len(answers)))

    def resampled(self, answers: Sequence[MapAnswer]) -> _Counts:
        """Sums of counts."""
        classes = max(len(found.counts) for found in answers)
        table = np.zeros((len(answers), classes, 3))
        for at, found in enumerate(answers):
            table[at, : len(found.counts)] = found.counts
        return _Counts(table)

    def notes(self, answers: Sequence[MapAnswer]) -> tuple[str, ...]:  # noqa: ARG002 - a Scorer
        """Nothing is left open."""
        return ()

    def change(
        self,
        picture: LabelledPicture,  # noqa: ARG002 - the masks are counted in the answers
        reference: MapAnswer,
        test: MapAnswer,
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """How much IoU the picture lost."""
        one = np.ones(1)
        first, second = (self.resampled([found])(one)["miou"] for found in (reference, test))
        if first == second:
            return None
        return first - second, {"float": round(first, 4), "test": round(second, 4)}


@dataclass(frozen=True)
class _Counts:
    table: npt.NDArray[np.float64]

    def __call__(self, weights: npt.NDArray[np.float64]) -> dict[str, float]:
        both, test, truth = np.tensordot(weights, self.table, axes=(0, 0)).T
        union = test + truth - both
        present = union > 0
        miou = float(np.mean(both[present] / union[present])) if present.any() else 0.0
        return {"miou": miou, "pixel_accuracy": float(both.sum() / max(truth.sum(), 1))}
