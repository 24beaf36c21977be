"""A board's masks: which way of reading a map gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.preprocess.geometry import Geometry
from qdebug.run.reading_results import Misreading, ReadingInfo, ReadingState

Array = npt.NDArray[Any]
Classes = npt.NDArray[np.int64]

RIGHT = "right"
Way = tuple[str, str, int]
"""How the map is read, how it is placed, by how much its classes are shifted."""
_PLAIN: Way = (RIGHT, RIGHT, 0)
_EXPLAINS, _BETTER = 0.7, 0.5
"""Mean IoU from which on a way explains the masks, and the share of the other's distance from 1
below which it is better. By judgement: int8 twins keep 0.8 and more."""
_WAYS = {
    "channels-last": (
        "reading-mask",
        "the classes are looked for along another axis: the map is read in the other layout",
        "Take the maximum over the channels, wherever these stand.",
    ),
    "transposed": ("reading-mask", "rows and columns are exchanged", "Read rows before columns."),
    "inverted": ("reading-mask", "what is not marked is marked", "Mark what is above."),
}
_PLACES = {
    "not-undone": (
        "reading-placing",
        "the map is stretched over the picture: the padding is not cut off",
        "Cut the padding off before resizing to the picture.",
    )
}


def on_picture(found: Classes, shape: tuple[int, int], geometry: Geometry) -> tuple[Classes, Array]:
    """The class of a map at every pixel of a mask, and where the mask lies beside the map.

    Args:
        found: int64 ``[h, w]``, the model's class of each pixel of its map.
        shape: height and width of the mask.
        geometry: how the picture came into the model's input. Each pixel of the mask takes the
            class of the map's pixel that its centre falls in.

    Returns:
        int64 and bool, both of the mask's shape: classes, 0 beside the map, and where they hold.
    """
    height, width = shape
    a, b, c, d, e, f = geometry.matrix
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = x * geometry.source[0] / width, y * geometry.source[1] / height
    columns = np.floor((a * x + b * y + c) * found.shape[1] / geometry.target[0]).astype(np.int64)
    rows = np.floor((d * x + e * y + f) * found.shape[0] / geometry.target[1]).astype(np.int64)
    inside = (columns >= 0) & (columns < found.shape[1]) & (rows >= 0) & (rows < found.shape[0])
    classes = np.zeros(shape, np.int64)
    classes[inside] = found[rows[inside], columns[inside]]
    return classes, inside


def read_maps(
    by_basis: Mapping[str, Sequence[tuple[Mapping[str, Classes], Geometry]]],
    answers: Sequence[Classes | None],
    name: str,
    title: str,
) -> ReadingInfo:
    """Find how a board makes masks.

    Args:
        by_basis: maps by the way of reading, ``right`` first, and the geometry of every picture; by
            whose tensors they are of, nearest first.
        answers: the board's masks; None for none.
        name: of their folder.
        title: of its form.
    """
    at = [i for i, answer in enumerate(answers) if answer is not None]
    if not at:
        return ReadingInfo(name, title, "nothing", next(iter(by_basis)), len(answers))
    masks = [answer for answer in answers if answer is not None]
    ious = {
        (basis, way): [_iou(*found[i], m, way) for i, m in zip(at, masks, strict=True)]
        for basis, found in by_basis.items()
        for way in _ways(found[0][0])
    }
    cost = {key: 1 - float(np.mean(values)) for key, values in ious.items()}
    basis, way = min(cost, key=lambda key: (cost[key], key[1] != _PLAIN))
    plain = min(by_basis, key=lambda b: cost[b, _PLAIN])
    if not cost[basis, way] < _BETTER * cost[plain, _PLAIN]:
        basis, way = plain, _PLAIN
    found = _told(*way)
    state: ReadingState = "explained" if found else "same"
    if cost[basis, way] > 1 - _EXPLAINS:
        state, found = "unexplained", []
    return ReadingInfo(
        name,
        title,
        state,
        basis,
        len(answers),
        len(at),
        sum(iou >= _EXPLAINS for iou in ious[basis, _PLAIN]),
        sum(iou >= _EXPLAINS for iou in ious[basis, way]),
        tuple(found),
    )


def _ways(maps: Mapping[str, Classes]) -> list[Way]:
    ways: list[Way] = [(name, RIGHT, 0) for name in maps]
    return [*ways, (RIGHT, "not-undone", 0), (RIGHT, RIGHT, 1), (RIGHT, RIGHT, -1)]


def _iou(maps: Mapping[str, Classes], geometry: Geometry, mask: Classes, way: Way) -> float:
    name, place, shift = way
    if place != RIGHT:
        (sw, sh), (tw, th) = geometry.source, geometry.target
        geometry = Geometry(geometry.source, geometry.target, (tw / sw, 0, 0, 0, th / sh, 0))
    own, inside = on_picture(maps[name], (mask.shape[0], mask.shape[1]), geometry)
    own, board = own[inside] + shift, mask[inside]
    board = np.where(board == _WHITE, 1, board) if set(np.unique(board)) <= {0, _WHITE} else board
    present = set(np.unique(own)) | set(np.unique(board))
    present = {c for c in present if c != 0} or present
    shares = [
        np.sum((own == c) & (board == c)) / np.sum((own == c) | (board == c)) for c in present
    ]
    return float(np.mean(shares))


_WHITE = 255
"""What marks a pixel in a mask of one class that is meant to be looked at."""


def _told(name: str, place: str, shift: int) -> list[Misreading]:
    found = []
    if name != RIGHT:
        slug, words, advice = _WAYS[name]
        found.append(Misreading(slug, (name,), words, advice))
    if place != RIGHT:
        slug, words, advice = _PLACES[place]
        found.append(Misreading(slug, (place,), words, advice))
    if shift:
        words = f"class numbers are shifted by {shift:+d}"
        numbers = (("shift", float(shift)),)
        advice = f"Add {-shift} to the class."
        found.append(Misreading("reading-classes", ("class-shift",), words, advice, numbers))
    return found
