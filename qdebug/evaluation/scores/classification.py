"""Top-1 and top-5 of classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.datasets import Dataset, LabelledPicture
from qdebug.evaluation.scores.means import Means
from qdebug.vocabulary.numbers import plural

Classes = npt.NDArray[np.int64]
FIRST = 5


@dataclass(frozen=True)
class Best:
    """The best classes of one picture.

    Attributes:
        classes: int64, best first, five at most; equal scores in the order of classes.
        tied: int64, the classes that share the best score; none where one has it alone.
    """

    classes: Classes
    tied: Classes = field(default_factory=lambda: np.zeros(0, np.int64))


def answer(scores: npt.NDArray[Any]) -> Best:
    """The best classes by their scores."""
    best = np.argsort(-scores, kind="stable")[:FIRST].astype(np.int64)
    tied = np.flatnonzero(scores == scores[best[0]]).astype(np.int64)
    return Best(best, tied if len(tied) > 1 else tied[:0])


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

    def scores(self, answers: Sequence[Best]) -> dict[str, float]:
        """Shares of the pictures whose class is the first, or among the first five."""
        return self.resampled(answers)(np.ones(len(answers)))

    def resampled(self, answers: Sequence[Best]) -> Means:
        """Means of what each picture scores."""
        hits = [self._hit(p, a) for p, a in zip(self.dataset.pictures, answers, strict=True)]
        table = np.array(hits, np.float64).reshape(-1, 2)
        return Means({"top1": table[:, 0], "top5": table[:, 1]})

    def notes(self, answers: Sequence[Best]) -> tuple[str, ...]:
        """On how many pictures the label shares the best score, and what top-1 that leaves open."""
        labels = map(self._label, self.dataset.pictures)
        shared = [(a, x) for a, x in zip(answers, labels, strict=True) if x in a.tied]
        if not shared:
            return ()
        top1, count = self.scores(answers)["top1"], len(answers)
        least = top1 - sum(bool(a.classes[0] == x) for a, x in shared) / count
        most = least + len(shared) / count
        return (
            f"on {plural(len(shared), 'picture')} the label shares the best score with other "
            f"classes: top-1 is between {least:.3f} and {most:.3f}, by which of them a program "
            f"takes; here the first",
        )

    def _label(self, picture: LabelledPicture) -> int:
        assert isinstance(picture.truth, int)
        return picture.truth + self.offset

    def _hit(self, picture: LabelledPicture, best: Best) -> tuple[bool, bool]:
        label, classes = self._label(picture), best.classes
        return bool(len(classes) and classes[0] == label), label in classes

    def change(
        self, picture: LabelledPicture, reference: Best, test: Best
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """Whether the class flipped; worst where the label was lost."""
        both = reference.classes, test.classes
        first, second = (int(best[0]) if len(best) else -1 for best in both)
        if first == second:
            return None
        label = self._label(picture)
        lost = (first == label) - (second == label)
        facts = {"float": self._name(first), "test": self._name(second), "label": self._name(label)}
        return 1.0 + lost, facts

    def _name(self, number: int) -> str:
        at = number - self.offset
        classes = self.dataset.classes
        return classes[at] if 0 <= at < len(classes) else f"class {number}"
