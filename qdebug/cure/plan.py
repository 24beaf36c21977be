"""A plan on its way, and what a search keeps of everything it tried."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qdebug.cure.predict import Settings
from qdebug.run.tuning import Cure, CurvePoint, Measured, MethodResult, Trial

GIVEN, ROUNDED, CORRECTED, REFINED = "given", "rounded anew", "corrected", "refined"
"""Names of the sets of weights and biases: as given; weights on another grid; biases corrected (of
the weights that were chosen); rounding taken back."""
NEAR_DB = 1.0
"""So near the ceiling, or the best, nothing is left to win. By judgement."""
UNKNOWN = Measured(math.nan, math.nan)
"""Before anything was measured."""


@dataclass(frozen=True)
class Plan:
    """A configuration on its way.

    Attributes:
        ranges: where the 8-bit ranges come from.
        base: setting of every unit at 8 bits.
        units: positions of the units at the higher precision.
        numbers: name of the weights and biases.
    """

    ranges: str
    base: Settings
    units: frozenset[int]
    numbers: str


@dataclass(frozen=True)
class Budget:
    """How many units beyond the broken ones may be given more bits.

    Attributes:
        units: at most so many; None leaves it to the knee of the curve.
        macs: at most this share of the multiplications, 0..1.
    """

    units: int | None = None
    macs: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether the user limits it."""
        return self.units is not None or self.macs is not None


@dataclass
class Found:
    """What a search has found so far; filled as it goes, so that a stop loses nothing."""

    cures: list[Cure] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)
    methods: list[MethodResult] = field(default_factory=list)
    tried: list[Trial] = field(default_factory=list)


def to_db(loss: float) -> float:
    """A loss in dB; a high number where it is not finite."""
    return 10 * math.log10(max(loss, 1e-30)) if math.isfinite(loss) else 300.0
