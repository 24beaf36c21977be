"""Whose a nameless tensor of a dump is, told by its values alone.

Each layer that comes by leaves some of its values, evenly spread. Each tensor of the dump is read
once, and those of its values that lie at the same places are held against all layers of a shape at
once: the work grows with the tensors and with the layers, not with their product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.board.layouts import (
    ALIKE,
    CLEARLY,
    Arrangement,
    Shape,
    are_whole,
    arranged,
    sizes_of,
)

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.float64]

_POINTS = 4096
"""Values that a layer leaves. What is unexplained, 1 - r, is known to 2 / sqrt(4096) = 3 % of it
then (standard deviation of Pearson's r, (1 - r^2) / sqrt(n)); ``_CLEARLY_BEST`` asks for 50 %."""
_MOST_POINTS = 200_000
"""Where those hold one value only (a mask, a map of one object)."""
_FEWEST = 16
"""Values from which on a tensor can be told by them."""
BY_VALUES = 0.9
"""Correlation from which on values alone tell a layer: 7 dB, with which a deep int8 network is
still of use."""
_CLEARLY_BEST = 0.5
"""Share of the next layer's unexplained variance that the best one may have. By judgement."""
SAME = 1e-9
"""Two layers whose likeness differs by less hold the same values (Flatten, Reshape): the first."""


@dataclass(frozen=True)
class Owner:
    """A layer that a tensor of a dump is of.

    Attributes:
        at: position of the layer's pair.
        likeness: concordance of the two, of codes correlation.
    """

    at: int
    likeness: float


@dataclass(frozen=True)
class _Like:
    """A layer beside a tensor of the dump.

    Attributes:
        at: position of the layer's pair.
        correlation: Pearson's, which the scale and the zero point of codes do not change.
        concordance: Lin's coefficient (1989), which they do: for values in their own unit.
    """

    at: int
    correlation: float
    concordance: float


@dataclass
class _Group:
    """Layers of one shape whose values were taken at the same places.

    Attributes:
        places: one array an axis.
        layers: positions of the layers' pairs.
        rows: float32 ``[points]`` of each.
    """

    places: tuple[Array, ...]
    layers: list[int] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)


class LayerValues:
    """Some values of every layer that is not known by name."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Shape, int], _Group] = {}

    def add(self, at: int, value: Array) -> None:
        """Keep some of a layer's values; a constant is alike every other one, and not kept."""
        if value.size < _FEWEST or value.min() == value.max():
            return
        flat = value.reshape(-1)
        step = _step(value.size, _POINTS)
        taken = flat[::step]
        if taken.min() == taken.max():
            step = _step(value.size, _MOST_POINTS)
            taken = flat[::step]
        group = self._groups.get((value.shape, step))
        if group is None:
            places = np.unravel_index(np.arange(0, value.size, step), value.shape)
            group = self._groups[value.shape, step] = _Group(places)
        group.layers.append(at)
        group.rows.append(taken.astype(np.float32))

    def owners(self, dumped: Array) -> list[Owner] | None:
        """Layers that a tensor of a dump is of: more than one only where these hold the same.

        Args:
            dumped: as read.

        Returns:
            In execution order; nothing where its values fit no layer, or several. None where no
            layer has its size.
        """
        likes = [
            like
            for (shape, _), group in self._groups.items()
            if sizes_in(dumped) & sizes_of(shape)
            for like in _likes(arranged(dumped, shape), group)
        ]
        if not likes:
            return None
        best = max(like.correlation for like in likes)
        if best < BY_VALUES:
            return []
        likes = [like for like in likes if not _is_worse(like.correlation, best)]
        coded = are_whole(dumped)
        nearest = max(like.concordance for like in likes)
        if nearest >= BY_VALUES and not coded:  # the unit tells them apart
            likes = [like for like in likes if not _is_worse(like.concordance, nearest)]
        if max(x.correlation for x in likes) - min(x.correlation for x in likes) >= SAME:
            return []
        likes.sort(key=lambda like: like.at)
        return [Owner(like.at, like.correlation if coded else like.concordance) for like in likes]


def sizes_in(dumped: Array) -> set[int]:
    """How many values a tensor may hold: bytes without a header may be wider numbers."""
    if dumped.dtype == np.uint8 and dumped.ndim == 1:
        return {dumped.size // wide for wide in (1, 2, 4)}
    return {dumped.size}


def _step(size: int, points: int) -> int:
    """From one value taken to the next: odd, not to fall in step with the sides of a tensor."""
    return max(1, size // points) | 1


def _is_worse(value: float, best: float) -> bool:
    return best - value >= SAME and 1 - best <= _CLEARLY_BEST * (1 - value)


def _likes(arrangements: Iterable[Arrangement], group: _Group) -> list[_Like]:
    """The layers of a group beside a tensor in each arrangement.

    As ``fit_dump`` has it, a tensor lies as it says unless another order fits better. Where that
    cannot be for the best layer, other orders are not tried.
    """
    rows = np.nan_to_num(np.stack(group.rows).astype(np.float64), nan=0, posinf=0, neginf=0)
    tried: list[Rows] = []
    for arrangement in arrangements:
        values = np.asarray(arrangement.values[group.places], np.float64)
        tried.append(_against(rows, values))
        if len(tried) == 1 and tried[0][0].max() >= 1 - CLEARLY:
            break
    if not tried:
        return []
    table = np.stack(tried)  # [arrangements, 2, layers]
    best = table[:, 0].argmax(axis=0)
    every = np.arange(len(group.layers))
    top = table[best, 0, every]
    best = np.where((top < ALIKE) | (top - table[0, 0] < CLEARLY), 0, best)
    pairs = zip(group.layers, table[best, 0, every], table[best, 1, every], strict=True)
    return [_Like(at, float(r), float(c)) for at, r, c in pairs]


def _against(rows: Rows, values: Rows) -> Rows:
    """Correlation and concordance with each row, over finite values; 0 of constants."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros((2, len(rows)))
    one, many = values[finite], rows[:, finite]
    shift = many.mean(axis=1) - one.mean()
    one, many = one - one.mean(), many - many.mean(axis=1, keepdims=True)
    product, own = many @ one, float(one @ one)
    powers = np.einsum("ij,ij->i", many, many)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = product / np.sqrt(powers * own)
        concordance = 2 * product / (powers + own + len(one) * shift**2)
    found: Rows = np.nan_to_num(np.stack([correlation, concordance]))
    return found
