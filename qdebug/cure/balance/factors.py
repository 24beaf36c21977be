"""By how much each channel is scaled.

Two measures of a channel's reach are brought to one size. *By weights*: that of the layer that
makes it and that of the layer that reads it, ``s = sqrt(r1 / r2)`` ("Data-free quantization through
weight equalization and bias correction", Nagel et al. 2019, equation 11). *By activations*: its
largest value and the reading weight's, ``s = max|x|^a / max|w|^(1 - a)`` ("SmoothQuant", Xiao et
al. 2022, equation 4, a = 1/2). What makes the channel is divided by s, what reads it multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from qdebug.cure.balance.links import Link, Part

Array = npt.NDArray[np.float64]
Values = Mapping[str, npt.NDArray[np.float32]]
Manner = Literal["weights", "activations"]

_ROUNDS = 50
"""Layers in a row are balanced in turns; three of them settle in about ten."""
_SETTLED = 1e-4
"""Largest change of a factor at which the turns end."""


def balanced(
    links: Sequence[Link], values: Values, manner: Manner, reached: Sequence[Array]
) -> dict[str, npt.NDArray[np.float32]]:
    """The constants of some links with balanced channels.

    A normalization's gain says nothing of the reach of its result: it is balanced by activations
    only, and left as it is otherwise.

    Args:
        links: of a float graph.
        values: of their constants, and of the weights before a BatchNormalization.
        manner: what is brought to one size.
        reached: of each link, the largest magnitude of each channel in its first tensor.

    Returns:
        Constants that are changed, by name.
    """
    found = {name: np.asarray(value, np.float64) for name, value in values.items()}
    seen = [np.asarray(peaks, np.float64) for peaks in reached]
    taken = [at for at, link in enumerate(links) if manner == "activations" or not link.is_norm]
    for _ in range(_ROUNDS):
        change = 0.0
        for at in taken:
            factors = _factors(links[at], found, seen[at] if manner == "activations" else None)
            _scale(found, links[at], factors)
            seen[at] = seen[at] / factors
            change = max(change, float(np.abs(factors - 1).max()))
        if change < _SETTLED:
            break
    new = {name: value.astype(np.float32) for name, value in found.items()}
    return {name: value for name, value in new.items() if not np.array_equal(value, values[name])}


def _factors(link: Link, values: Mapping[str, Array], seen: Array | None) -> Array:
    """What the makers are divided by, ``[channels]``; 1 for a channel that is dead on one side."""
    first = _made(link, values) if seen is None else seen
    second = _peaks(values, link.readers, link.channels)
    alive = (first > 0) & (second > 0)
    return np.where(alive, np.sqrt(np.where(alive, first, 1) / np.where(alive, second, 1)), 1.0)


def _made(link: Link, values: Mapping[str, Array]) -> Array:
    """Reach of the weight that makes each channel, a BatchNormalization in it."""
    made = _peaks(values, link.makers[:1], link.channels)
    if link.before is None:
        return made
    before = link.before.peaks(values[link.before.tensor], link.channels)
    return np.asarray(made * before / np.array(link.deviation))


def _peaks(values: Mapping[str, Array], parts: Sequence[Part], channels: int) -> Array:
    found = [part.peaks(values[part.tensor], channels) for part in parts]
    return np.asarray(np.max(found, axis=0))


def _scale(values: dict[str, Array], link: Link, factors: Array) -> None:
    for part in link.makers:
        values[part.tensor] = values[part.tensor] / part.spread(factors, values[part.tensor])
    for part in link.readers:
        values[part.tensor] = values[part.tensor] * part.spread(factors, values[part.tensor])
