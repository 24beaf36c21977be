"""What is left of the places once the reading is known: another rounding, scale or anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.reading.places import ANCHORS_ADVICE
from qdebug.run.reading_results import Misreading

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_FEWEST = 4
"""Boxes from which on a shift and a scale are fitted: twice the unknowns of an axis."""
_SURE = 4.0
"""Standard errors from which on a fitted number is none by chance. By judgement."""
_LEAST_SHIFT, _LEAST_SCALE = 0.05, 0.002
"""Pixels of the picture, and share, below which a difference is rounding of a file's decimals."""
_ROUNDING = 1.5
"""Pixels of the model's input by which two ways to round a letterbox's padding may differ."""
_ALIKE, _MOSTLY = 0.03, 0.7
"""Spread of a group's factors that one anchor explains, for this share of the boxes: others are
taken for a neighbour of another anchor. By judgement."""


@dataclass(frozen=True)
class Match:
    """One of the board's boxes and the right box that it is.

    Attributes:
        board: float64 ``[4]``.
        own: float64 ``[4]``, where the reading found puts it, not cut.
        limits: width and height of the picture.
        scale: pixels of the input a pixel of the picture.
        group: stride and anchor of the candidate; None where the head has no anchors.
        score: of the board's box.
    """

    board: Floats
    own: Floats
    limits: tuple[int, int]
    scale: float
    group: tuple[float, ...] | None = None
    score: float = 0.0


def shift(matches: Sequence[Match]) -> Misreading | None:
    """A shift or another scale of all boxes; None where there is none for certain."""
    inside = [m for m in matches if _inside(m)]
    if len(inside) < _FEWEST:
        return None
    fits = [_line(inside, axis) for axis in (0, 1)]
    numbers: list[tuple[str, float]] = []
    for name, found in zip("xy", fits, strict=True):
        if found.scale_is_sure:
            numbers.append((f"scale_{name}", round(found.scale, 5)))
        if found.shift_is_sure:
            numbers.append((f"offset_{name}", round(found.shift, 3)))
    if not numbers:
        return None
    return _told(numbers, float(np.mean([m.scale for m in inside])))


def _told(numbers: Sequence[tuple[str, float]], scale: float) -> Misreading:
    known = dict(numbers)
    shifts = [abs(v) * scale for k, v in numbers if k.startswith("offset")]
    scaled = any(k.startswith("scale") for k in known)
    parts = [f"{k.replace('_', ' ')} {v:g}{' px' if 'offset' in k else ''}" for k, v in numbers]
    told = ", ".join(parts)
    if not scaled and max(shifts) <= _ROUNDING:
        words = f"the letterbox is undone with another rounding of its padding ({told})"
        name, advice = "rounding", "Subtract the padding that the pipeline rounds to."
    elif scaled:
        words = f"boxes are placed by another scale ({told})"
        name, advice = "scale", "Divide by the scale that the pipeline resizes by."
    else:
        words, name = f"all boxes are shifted ({told})", "shift"
        advice = "Subtract the padding that the pipeline really has."
    return Misreading("reading-placing", (name,), words, advice, tuple(numbers))


@dataclass(frozen=True)
class _Line:
    scale: float
    shift: float
    scale_is_sure: bool
    shift_is_sure: bool


def _line(matches: Sequence[Match], axis: int) -> _Line:
    """Least squares ``board = scale * own + shift`` over both ends, weighted by the box's size."""
    own = np.array([m.own[[axis, axis + 2]] for m in matches])
    board = np.array([m.board[[axis, axis + 2]] for m in matches])
    weight = 1 / np.repeat(np.maximum(own[:, 1] - own[:, 0], 1.0), 2)
    x, y = own.reshape(-1), board.reshape(-1)
    table = np.stack([x, np.ones(len(x))], axis=1)
    (scale, moved), error = _solved(table, y, weight)
    scale_sure = abs(scale - 1) > max(_SURE * error[0], _LEAST_SCALE)
    if not scale_sure:  # without it the shift is known better
        scale = 1.0
        (moved,), error = _solved(table[:, 1:], y - x, weight)
    shift_sure = abs(moved) > max(_SURE * error[-1], _LEAST_SHIFT)
    return _Line(float(scale), float(moved), bool(scale_sure), bool(shift_sure))


def _solved(table: Array, values: Array, weight: Array) -> tuple[Floats, Floats]:
    """Weighted least squares and the standard errors of the solution."""
    weighted = table * weight[:, None]
    found, *_ = np.linalg.lstsq(weighted, values * weight, rcond=None)
    rest = values * weight - weighted @ found
    free = max(len(values) // 2 - table.shape[1], 1)  # both ends of a box go together
    variance = float(rest @ rest) / 2 / free
    spread = np.linalg.pinv(weighted.T @ weighted)
    return found, np.sqrt(np.maximum(np.diag(spread) * variance, 0))


def _inside(match: Match) -> bool:
    """Whether no edge of the picture can have cut either box."""
    limit = np.array([*match.limits, *match.limits], np.float64)
    return all(bool(np.all(v > 1) and np.all(v < limit - 1)) for v in (match.own, match.board))


def anchors(matches: Sequence[Match]) -> Misreading | None:
    """Sizes that are off by a factor that only the anchor decides: anchors of another model."""
    groups: dict[tuple[float, ...], list[Floats]] = {}
    for match in matches:
        if match.group is not None and _inside(match):
            own, board = (v[2:] - v[:2] for v in (match.own, match.board))
            if (own > 0).all() and (board > 0).all():
                groups.setdefault(match.group, []).append(np.log(board / own))
    held = {group: np.array(found) for group, found in groups.items() if len(found) > 1}
    if len(held) < 2:
        return None
    middles = {group: np.median(found, axis=0) for group, found in held.items()}
    near = [np.abs(v - middles[group]).max(axis=1) <= _ALIKE for group, v in held.items()]
    if float(np.mean(np.concatenate(near))) < _MOSTLY:
        return None
    factors = {group: np.exp(middle) for group, middle in middles.items()}
    flat = np.concatenate(list(factors.values()))
    if float(np.ptp(flat)) < 2 * _ALIKE:
        return None
    told = ", ".join(
        f"{group[1]:g}x{group[2]:g} as {group[1] * f[0]:.0f}x{group[2] * f[1]:.0f}"
        for group, f in sorted(factors.items())
    )
    return Misreading(
        "reading-boxes",
        ("anchors",),
        f"sizes are those of other anchors: {told}",
        ANCHORS_ADVICE,
        tuple((f"factor_{at}", round(float(v), 4)) for at, v in enumerate(flat)),
    )
