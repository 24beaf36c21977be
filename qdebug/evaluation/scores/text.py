"""Recognized text against the text on the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.tasks.text import distance
from qdebug.datasets import Dataset, LabelledPicture
from qdebug.evaluation.scores.means import Means


@dataclass(frozen=True)
class TextScorer:
    """Exact matches, and one minus the normalized edit distance.

    The normalized edit distance is PaddleOCR's ``norm_edit_dis``: Levenshtein's distance over the
    length of the longer text, as a mean over the pictures.
    """

    dataset: Dataset

    metrics = ("exact", "norm_edit")

    def scores(self, answers: Sequence[str]) -> dict[str, float]:
        """Both means over the pictures."""
        return self.resampled(answers)(np.ones(len(answers)))

    def resampled(self, answers: Sequence[str]) -> Means:
        """Means of what each picture scores."""
        pairs = [
            (str(picture.truth), answer)
            for picture, answer in zip(self.dataset.pictures, answers, strict=True)
        ]
        exact = np.array([truth == answer for truth, answer in pairs], np.float64)
        return Means({"exact": exact, "norm_edit": np.array([_near(*pair) for pair in pairs])})

    def notes(self, answers: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 - a Scorer
        """Nothing is left open."""
        return ()

    def change(
        self, picture: LabelledPicture, reference: str, test: str
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """How many edits lie between two models' texts."""
        if reference == test:
            return None
        facts = {"float": reference, "test": test, "label": str(picture.truth)}
        return 1 - _near(reference, test), facts


def _near(first: str, second: str) -> float:
    longer = max(len(first), len(second))
    edits = distance([ord(c) for c in first], [ord(c) for c in second])
    return 1 - edits / longer if longer else 1.0
