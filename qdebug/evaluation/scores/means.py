"""Numbers that are means over the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Means:
    """Weighted means ``sum(w * value) / sum(w * of)``.

    Attributes:
        values: by metric, float64 ``[pictures]``.
        of: what a picture counts for, by metric; 1 where it is missing.
    """

    values: Mapping[str, Column]
    of: Mapping[str, Column] = field(default_factory=dict)

    def __call__(self, weights: Column) -> dict[str, float]:
        """The means; 0 of nothing."""
        return {name: self._mean(name, value, weights) for name, value in self.values.items()}

    def _mean(self, name: str, value: Column, weights: Column) -> float:
        whole = float(weights @ self.of.get(name, np.ones(len(weights))))
        return float(weights @ value) / whole if whole else 0.0
