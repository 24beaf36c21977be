"""What a task's scorer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qdebug.datasets import LabelledPicture

Weights = npt.NDArray[np.float64]
"""``[pictures]``: how often each picture counts; a bootstrap's resample."""


class Scorer(Protocol):
    """Scores one model's answers to all pictures of a data set."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the numbers, the deciding one first."""

    def scores(self, answers: Sequence[Any]) -> dict[str, float]:
        """The numbers over all pictures.

        Args:
            answers: by picture, as the task's reader makes them.
        """

    def resampled(self, answers: Sequence[Any]) -> Resampled:
        """A way to the same numbers over any resample of the pictures."""

    def notes(self, answers: Sequence[Any]) -> tuple[str, ...]:
        """What the numbers of one model leave open, one sentence each."""

    def change(
        self, picture: LabelledPicture, reference: Any, test: Any
    ) -> tuple[float, Mapping[str, float | str]] | None:
        """How far two models' answers to a picture differ.

        Returns:
            How much, and facts for people; None where they are the same.
        """


class Resampled(Protocol):
    """Numbers over resamples."""

    def __call__(self, weights: Weights) -> Mapping[str, float]:
        """The numbers where each picture counts as often as ``weights`` says."""
