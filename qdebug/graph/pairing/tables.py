"""Agreement of every operation of one list with every one of another, a table at a time.

Thousands of operations may read one value. What is computed for each of them is linear; what is
left for each pair is arithmetic on arrays.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from qdebug.graph.pairing.fingerprint import Sample
    from qdebug.graph.pairing.logical import Const

Table = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_BLOCK = 1 << 22
"""Numbers held for each side at a time; by judgement, 32 MiB."""


def overlaps(lefts: Sequence[Counter[str]], rights: Sequence[Counter[str]]) -> Table:
    """Jaccard index of multisets; 1 where both are empty."""
    if _same_pair(lefts, rights):
        return np.ones((1, 1))
    common = np.zeros((len(lefts), len(rights)))
    ours, theirs = _holders(lefts), _holders(rights)
    for name in ours.keys() & theirs.keys():
        (rows, a), (columns, b) = _counts(ours[name]), _counts(theirs[name])
        common[np.ix_(rows, columns)] += np.minimum.outer(a, b)
    sizes = [[sum(multiset.values()) for multiset in side] for side in (lefts, rights)]
    union = np.add.outer(*sizes) - common
    return np.divide(common, union, out=np.ones_like(common), where=union > 0)


def equal_shares(
    lefts: Sequence[Mapping[str, Any]], rights: Sequence[Mapping[str, Any]], rtol: float
) -> Table:
    """Share of the entries that are equal; 1 where neither side has any.

    Args:
        lefts: entries by name: numbers, lists of numbers, texts.
        rights: those of the other side.
        rtol: relative difference of numbers that is none.
    """
    if _same_pair(lefts, rights):
        return np.ones((1, 1))
    equal = np.zeros((len(lefts), len(rights)))
    common = np.zeros_like(equal)
    ours, theirs = _holders(lefts), _holders(rights)
    for name in ours.keys() & theirs.keys():
        place = np.ix_([at for at, _ in ours[name]], [at for at, _ in theirs[name]])
        common[place] += 1
        equal[place] += _equal([v for _, v in ours[name]], [v for _, v in theirs[name]], rtol)
    union = np.add.outer(list(map(len, lefts)), list(map(len, rights))) - common
    return np.divide(equal, union, out=np.ones_like(equal), where=union > 0)


def _same_pair(lefts: Sequence[Mapping[str, Any]], rights: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is one on each side and both are the same, as most that are asked for are."""
    return len(lefts) == len(rights) == 1 and lefts[0] == rights[0]


def likeness(lefts: Sequence[Sample | None], rights: Sequence[Sample | None]) -> Table:
    """Mean absolute cosine of the rows of weights of one shape; nan where there is none."""
    found = np.full((len(lefts), len(rights)), np.nan)
    for _, (rows, columns) in _shared(lefts, rights, lambda sample: sample.shape):
        found[np.ix_(rows, columns)] = mean_cosine(_stacked(lefts, rows), _stacked(rights, columns))
    return found


def mean_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean absolute cosine of unit rows, [m, rows, columns] against [n, rows, columns]."""
    table = np.zeros((len(a), len(b)), np.float32)
    for row in range(a.shape[1]):
        table += np.abs(a[:, row] @ b[:, row].T)
    mean: npt.NDArray[np.float32] = table / a.shape[1]
    return mean


def constants_agree(
    lefts: Sequence[Const | None], rights: Sequence[Const | None], longest: int, tolerance: float
) -> Table:
    """1 where constants are equal up to quantization, -1 where they are not, nan where unknown.

    Args:
        lefts: one constant of each operation, None where it has none.
        rights: those of the other side.
        longest: elements up to which they are read.
        tolerance: relative L2 distance of a constant and its quantized copy.
    """
    found = np.full((len(lefts), len(rights)), np.nan)
    ours, theirs = _by_size(lefts, longest), _by_size(rights, math.inf)
    for a, b in itertools.product(ours, theirs):
        width = max(a, b, 1)
        for rows, columns in itertools.product(_chunks(ours[a], width), _chunks(theirs[b], width)):
            x, y = [_values(lefts[at]) for at in rows], [_values(rights[at]) for at in columns]
            found[np.ix_(rows, columns)] = _near(x, y, tolerance)
    return found


def _holders(side: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, Any]]]:
    """Who has an entry of a name, and which."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for at, entries in enumerate(side):
        for name, value in entries.items():
            found.setdefault(name, []).append((at, value))
    return found


def _counts(held: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [at for at, _ in held], [count for _, count in held]


def _equal(lefts: Sequence[Any], rights: Sequence[Any], rtol: float) -> Mask:
    """Numbers within the tolerance; everything else where it is written alike."""
    found = np.zeros((len(lefts), len(rights)), np.bool_)
    a, b = ([_numbers(value) for value in side] for side in (lefts, rights))
    for width, (rows, columns) in _shared(a, b, len):
        y = _stacked(b, columns)
        for some in _chunks(rows, width * len(columns)):
            near = np.isclose(_stacked(a, some)[:, None], y[None], rtol, 1e-6, equal_nan=True)
            found[np.ix_(some, columns)] = near.all(axis=-1)
    words, others = (
        [repr(value) if number is None else None for value, number in zip(*side, strict=True)]
        for side in ((lefts, a), (rights, b))
    )
    for _, (rows, columns) in _shared(words, others, str):
        found[np.ix_(rows, columns)] = True
    return found


def _numbers(value: Any) -> npt.NDArray[np.float64] | None:
    """Flat: one axis is a list of one as an attribute, and a number as an input."""
    try:
        numbers = np.ravel(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        return None
    # "to the end" is spelled as any large number
    return None if value is None else np.clip(numbers, -(2.0**31), 2.0**31 - 1)


_Key = TypeVar("_Key", bound=Hashable)


def _stacked(side: Sequence[npt.NDArray[Any] | None], places: Sequence[int]) -> npt.NDArray[Any]:
    return np.stack([value for at in places if (value := side[at]) is not None])


def _shared(
    lefts: Sequence[Any], rights: Sequence[Any], key: Callable[[Any], _Key]
) -> Iterator[tuple[_Key, tuple[list[int], list[int]]]]:
    """Places of what is there, on both sides, by a key that both have."""
    ours, theirs = _places(lefts, key), _places(rights, key)
    for name in ours.keys() & theirs.keys():
        yield name, (ours[name], theirs[name])


def _places(side: Sequence[Any], key: Callable[[Any], _Key]) -> dict[_Key, list[int]]:
    found: dict[_Key, list[int]] = {}
    for at, item in enumerate(side):
        if item is not None:
            found.setdefault(key(item), []).append(at)
    return found


def _chunks(places: Sequence[int], width: int) -> Iterator[list[int]]:
    """Parts of a list whose items take so many numbers each."""
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, len(places), step):
        yield list(places[start : start + step])


def _by_size(side: Sequence[Const | None], longest: float) -> dict[int, list[int]]:
    """Places of the constants that can be read, by their number of elements."""
    sizes = [None if c is None or c.shape is None else math.prod(c.shape) for c in side]
    found = _places(sizes, int)
    return {size: places for size, places in found.items() if size <= longest}


def _values(const: Const | None) -> npt.NDArray[Any] | None:
    value = const.read() if const is not None else None
    if value is None or value.dtype.kind in "OUS":
        return value
    return np.ravel(value).astype(np.float64)


def _near(
    lefts: Sequence[npt.NDArray[Any] | None],
    rights: Sequence[npt.NDArray[Any] | None],
    tolerance: float,
) -> Table:
    found = np.full((len(lefts), len(rights)), np.nan)
    for (i, x), (j, y) in itertools.product(_texts(lefts), enumerate(rights)):
        found[i, j] = 1.0 if y is not None and np.array_equal(x, y) else -1.0
    for (i, _), (j, _) in itertools.product(enumerate(lefts), _texts(rights)):
        found[i, j] = np.fmax(found[i, j], -1.0)
    rows, columns = _numeric(lefts), _numeric(rights)
    if rows and columns:
        agree = _numbers_near(_stacked(lefts, rows), _stacked(rights, columns), tolerance)
        found[np.ix_(rows, columns)] = np.where(agree, 1.0, -1.0)
    return found


def _texts(side: Sequence[npt.NDArray[Any] | None]) -> list[tuple[int, npt.NDArray[Any]]]:
    return [(at, v) for at, v in enumerate(side) if v is not None and v.dtype.kind in "OUS"]


def _numeric(side: Sequence[npt.NDArray[Any] | None]) -> list[int]:
    return [at for at, v in enumerate(side) if v is not None and v.dtype.kind not in "OUS"]


def _numbers_near(x: Table, y: Table, tolerance: float) -> Mask:
    """Rows of either side: alike in relative L2 distance, or all near the one number of ``x``."""
    if x.shape[1] == y.shape[1]:
        squares = np.square(x).sum(axis=1)
        distance = np.add.outer(squares, np.square(y).sum(axis=1)) - 2 * (x @ y.T)
        return np.asarray(distance <= (tolerance * np.sqrt(squares) + 1e-12)[:, None] ** 2)
    if x.shape[1] != 1 or not y.size:
        return np.zeros((len(x), len(y)), np.bool_)
    room = 1e-8 + tolerance * np.abs(x)
    return np.asarray((y.min(axis=1) >= x - room) & (y.max(axis=1) <= x + room))
