"""Top-1 and top-5 of classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.datasets import Dataset, LabelledPicture
from qdebug.evaluation.scores.means import Means

FIRST = 5


def answer(scores: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The five best classes of one picture, best first; equal scores in the order of classes."""
    return np.argsort(-scores, kind="stable")[:FIRST].astype(np.int64)


@dataclass(frozen=True)
class ClassificationScorer:
    """Compares the best classes with the label.

    Attributes:
        dataset: the labels.
        offset: class of the model that the data set's class 0 is.
    """

    dataset: Dataset
    offset: int = 0

    metrics = ("top1", "top5")

    def scores(self, answers: Sequence[npt.NDArray[np.int64]]) -> dict[str, float]:
        """Shares of the pictures whose class is the first, or among the first five."""
        return self.resampled(answers)(np.ones(len(answers)))

    def resampled(self, answers: Sequence[npt.NDArray[np.int64]]) -> Means:
        """Means of what each picture scores."""
        hits = [self._hit(p, a) for p, a in zip(self.dataset.pictures, answers, strict=True)]
        table = np.array(hits, np.float64).reshape(-1, 2)
        return Means({"top1": table[:, 0], "top5": table[:, 1]})

    def _hit(self, picture: LabelledPicture, best: npt.NDArray[np.int64]) -> tuple[bool, bool]:
        assert isinstance(picture.truth, int)
        label = picture.truth + self.offset
        return bool(len(best) and best[0] == label), label in best

    def change(
        self,
        picture: LabelledPicture,
        reference: npt.NDArray[np.int64],
        test: npt.NDArray[np.int64],
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """Whether the class flipped; worst where the label was lost."""
        first, second = (int(best[0]) if len(best) else -1 for best in (reference, test))
        if first == second:
            return None
        assert isinstance(picture.truth, int)
        label = picture.truth + self.offset
        lost = (first == label) - (second == label)
        facts = {"float": self._name(first), "test": self._name(second), "label": self._name(label)}
        return 1.0 + lost, facts

    def _name(self, number: int) -> str:
        at = number - self.offset
        classes = self.dataset.classes
        return classes[at] if 0 <= at < len(classes) else f"class {number}"
