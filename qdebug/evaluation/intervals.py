"""How far a number, and the difference of two, can be trusted: the bootstrap over pictures.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: the percentile interval.
Both models are scored on the same resamples (paired), so that what pictures have in common cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdebug.evaluation.scores.scorer import Resampled

RESAMPLES = 1000
"""Enough for the ends of a 95 % interval (Efron and Tibshirani, chapter 14)."""
LEVEL = 0.95
_SEED = 0


@dataclass(frozen=True)
class Draws:
    """A model's numbers on every resample.

    Attributes:
        values: by metric, float64 ``[resamples]``.
    """

    values: dict[str, npt.NDArray[np.float64]]

    def interval(self, metric: str) -> tuple[float, float]:
        """Of the number itself."""
        return _ends(self.values[metric])

    def difference(self, reference: Draws, metric: str) -> tuple[float, float]:
        """Of the number minus the reference's on the same pictures."""
        return _ends(self.values[metric] - reference.values[metric])


def draw(scored: Resampled, pictures: int, resamples: int = RESAMPLES) -> Draws:
    """Score resamples of the pictures, always the same ones.

    Args:
        scored: the model's numbers by weights.
        pictures: how many there are.
        resamples: how many are drawn.
    """
    rows = [scored(weights) for weights in _weights(pictures, resamples)]
    return Draws({name: np.array([row[name] for row in rows]) for name in rows[0]})


def _weights(pictures: int, resamples: int) -> Iterator[npt.NDArray[np.float64]]:
    random = np.random.Generator(np.random.PCG64(_SEED))
    for _ in range(resamples):
        drawn = random.integers(0, pictures, pictures)
        yield np.bincount(drawn, minlength=pictures).astype(np.float64)


def _ends(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
