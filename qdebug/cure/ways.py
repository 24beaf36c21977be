"""The ways to choose the ranges of a whole network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qdebug.cure.plan import GIVEN
from qdebug.cure.predict import Prediction, Settings
from qdebug.cure.thresholds import METHODS

WIDEST, MEDIAN = "G2 widest of folds", "G2 median of folds"
REACHING = ", reach kept"
"""Of ranges that keep the given range's reach, where no picture shows how far values go."""
_FIRST = ("G2", "MSE2", "MAX", WIDEST, MEDIAN)
"""Ways that are always verified: predictions rank them, other pictures decide."""

Way = Callable[[Prediction], Settings]


def ways_of(prediction: Prediction) -> Mapping[str, Way]:
    """The ways by name; some keep the given reach of all units where it goes beyond the pictures.

    All of them keep that of answers, see `Prediction`.

    Args:
        prediction: from the pictures searched; a way takes another prediction of the same units,
            too.
    """
    found: dict[str, Way] = {name: partial(Prediction.by_method, name=name) for name in METHODS}
    found |= {WIDEST: Prediction.widest, MEDIAN: Prediction.median}
    if prediction.beyond():
        found["G2" + REACHING] = partial(Prediction.by_method, name="G2", reach=True)
        found[WIDEST + REACHING] = partial(Prediction.widest, reach=True)
        found[MEDIAN + REACHING] = partial(Prediction.median, reach=True)
    found[GIVEN] = _fitted
    return found


def is_always_verified(name: str) -> bool:
    """Whether a way is verified whatever is predicted for it."""
    return name.removesuffix(REACHING) in (*_FIRST, GIVEN)


def _fitted(prediction: Prediction) -> Settings:
    return prediction.fitted
