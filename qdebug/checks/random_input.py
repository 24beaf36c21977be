"""``random-input``: the inputs are noise, no pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

NOISE = 0.1
"""Neighbouring pixels of a picture correlate far above this (0.9 and more), those of noise have a
correlation of one over the root of their number. By judgement."""
_SHORTEST = 8
"""Fewer neighbours along an axis tell nothing. By judgement."""
_LOOKED_AT = 256
"""Values along each axis, in the middle, that tell a picture from noise."""


def _random_input(context: CheckContext) -> Iterator[Finding]:
    if context.what_if is None:
        return
    noisy = []
    for number, (feeds, _) in enumerate(context.what_if.feeds):
        for name, value in feeds.items():
            if value.ndim == 4 and neighbour_correlation(value) < NOISE:
                noisy.append((context.samples[number].name, name))
    if not noisy:
        return
    yield RANDOM_INPUT.found(
        "warn",
        "The input looks like random numbers",
        f"Neighbouring values of {noisy[0][1]} in {noisy[0][0]} do not correlate; pictures do. "
        "Noise drives a network into ranges that no picture reaches.",
        "Give real inputs, preprocessed as in training.",
        confidence="high",
    )


def neighbour_correlation(image: npt.NDArray[Any]) -> float:
    """Largest correlation of neighbours along any of the axes but the first; 1 for a constant."""
    best = 0.0
    image = image[tuple(_middle(size) for size in image.shape)]
    for axis in range(1, image.ndim):
        if image.shape[axis] < _SHORTEST:
            continue
        x = np.moveaxis(image, axis, -1).astype(np.float64)
        a, b = x[..., :-1].ravel(), x[..., 1:].ravel()
        a, b = a - a.mean(), b - b.mean()
        power = float(np.sqrt((a @ a) * (b @ b)))
        best = max(best, 1.0 if power == 0 else float(a @ b) / power)
    return best if any(size >= _SHORTEST for size in image.shape[1:]) else 1.0


def _middle(size: int) -> slice:
    start = max(0, (size - _LOOKED_AT) // 2)
    return slice(start, start + _LOOKED_AT)


RANDOM_INPUT = Check(KINDS["random-input"], _random_input)
