"""How a dumped tensor lies: axes, padding, codes or values. Tried out against a known tensor.

The order of the values is told first, by Pearson's correlation, which no scale and no zero point
changes; what a code is worth then follows from the dump, from the simulation's quantizer, or from a
line fitted through both.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.dumps.files import as_values

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_NAMES = {4: "NCHW", 3: "CHW", 2: "NC", 5: "NCDHW"}
BLOCKS = (4, 8, 16, 32, 64)
"""Channels of a block in NC1HWC0 (Ascend 16 or 32, RKNN 8 or 16, ncnn 4 or 8)."""
_MOST_PADDING = 64
"""Values that a row or the channels may be padded by: alignments of buses and vector units."""
_SAMPLE = 200_000
"""Values that an arrangement is judged by, evenly spread."""
ALIKE = 0.9
"""Correlation from which on a dump is of this tensor. By judgement: int8 tensors of one network on
one input have more than 0.98, others less than 0.6 in nearly every pair."""
CLEARLY = 0.02
"""By how much the best arrangement must beat the plain one: a dump is taken as it says it lies
unless something else fits better."""


@dataclass(frozen=True)
class Arrangement:
    """A way to bring a dump into a tensor's shape.

    Attributes:
        layout: for people: ``NCHW``, ``NHWC``, ``NC1HWC0 (16)``, ``NCHW, rows padded to 32``.
        values: of the wanted shape, not scaled.
    """

    layout: str
    values: Array


@dataclass(frozen=True)
class Fit:
    """A dump brought into a tensor's shape and unit.

    Attributes:
        layout: see ``Arrangement``.
        plain: whether it lies as the float model's tensor does.
        values: float32, of the wanted shape.
        likeness: correlation with the tensor it was held against.
        coded: whether the dump holds codes.
        scale: what a code is worth; None for values.
        scale_from: ``dump``, ``quantizer``, ``fitted`` or empty.
    """

    layout: str
    plain: bool
    values: Array
    likeness: float
    coded: bool = False
    scale: float | None = None
    scale_from: str = ""


@functools.lru_cache(maxsize=4096)
def sizes_of(shape: Shape) -> frozenset[int]:
    """How many values a dump of a tensor may have, padded or not."""
    return frozenset({size for size, _ in _padded(shape)} | {math.prod(shape)})


def fit_dump(
    dumped: Array,
    reference: Array,
    known: Sequence[tuple[str, float, int]] = (),
) -> Fit | None:
    """Find how a dump of a tensor lies.

    Args:
        dumped: as read.
        reference: float32, the tensor it should be alike.
        known: scales that may hold, as ``(from where, scale, zero point)``, best first.

    Returns:
        The best fit; None where no arrangement has the shape.
    """
    arrangements: list[Arrangement] = []
    likeness: list[float] = []
    for arrangement in arranged(dumped, reference.shape):
        arrangements.append(arrangement)
        likeness.append(correlation(arrangement.values, reference))
        if likeness[0] >= 1 - CLEARLY:
            break  # no other one can be clearly better
    if not arrangements:
        return None
    best = int(np.argmax(likeness))
    if likeness[best] < ALIKE or likeness[best] - likeness[0] < CLEARLY:
        best = 0
    chosen = arrangements[best]
    plain = _NAMES.get(reference.ndim, "as it is")
    found = Fit(chosen.layout, chosen.layout == plain, chosen.values, likeness[best])
    return _in_units(found, reference, known)


def arranged(dumped: Array, shape: Shape) -> Iterator[Arrangement]:
    """Every way in which a dump has the shape, the plain one first."""
    plain = _NAMES.get(len(shape), "as it is")
    for values in as_values(dumped, sorted(sizes_of(shape))):
        if values.size == math.prod(shape):
            yield Arrangement(plain, values.reshape(shape))
            yield from _permuted(values, shape, plain)
        for size, (layout, bring) in _padded(shape):
            if values.size == size:
                yield Arrangement(layout, bring(values.reshape(-1)))


def _permuted(values: Array, shape: Shape, plain: str) -> Iterator[Arrangement]:
    """Other orders of the axes; those that move only axes of one value are the plain one."""
    if len(shape) not in (3, 4):
        return
    long = [at for at, side in enumerate(shape) if side > 1]
    for order in itertools.permutations(range(len(shape))):
        if [at for at in order if at in long] == long:
            continue
        stored = values.reshape([shape[at] for at in order])
        name = "".join(plain[at] for at in order)
        yield Arrangement(name, stored.transpose(np.argsort(order)))


def _padded(shape: Shape) -> Iterator[tuple[int, tuple[str, Any]]]:
    """Sizes of padded or blocked buffers, and how to undo them."""
    if len(shape) != 4:
        return
    n, c, h, w = shape
    for block in BLOCKS:
        groups = -(-c // block)
        if c > 1 and (groups > 1 or groups * block != c):
            blocks = (n, groups, h, w, block)
            yield math.prod(blocks), (f"NC1HWC0 ({block})", _Blocked(blocks, c))
    for wide in range(w + 1, w + _MOST_PADDING + 1):
        yield n * c * h * wide, (f"NCHW, rows padded to {wide}", _Rows((n, c, h, wide), w))
        if c > 1:
            yield n * h * wide * c, (f"NHWC, rows padded to {wide}", _RowsLast((n, h, wide, c), w))
    for deep in range(c + 1, c + _MOST_PADDING + 1):
        stored = (n, h, w, deep)
        yield math.prod(stored), (f"NHWC, channels padded to {deep}", _Channels(stored, c))


@dataclass(frozen=True)
class _Blocked:
    stored: Shape
    channels: int

    def __call__(self, flat: Array) -> Array:
        n, groups, h, w, block = self.stored
        blocks = flat.reshape(self.stored).transpose(0, 1, 4, 2, 3)
        return np.asarray(blocks.reshape(n, groups * block, h, w)[:, : self.channels])


@dataclass(frozen=True)
class _Rows:
    stored: Shape
    width: int

    def __call__(self, flat: Array) -> Array:
        return np.asarray(flat.reshape(self.stored)[..., : self.width])


@dataclass(frozen=True)
class _RowsLast:
    stored: Shape
    width: int

    def __call__(self, flat: Array) -> Array:
        return np.asarray(flat.reshape(self.stored)[:, :, : self.width].transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class _Channels:
    stored: Shape
    channels: int

    def __call__(self, flat: Array) -> Array:
        return np.asarray(flat.reshape(self.stored)[..., : self.channels].transpose(0, 3, 1, 2))


def correlation(values: Array, reference: Array) -> float:
    """Pearson's correlation on evenly spread values; 1 of two equal constants, else 0."""
    step = max(1, reference.size // _SAMPLE)
    one = np.ascontiguousarray(values).reshape(-1)[::step].astype(np.float64)
    two = np.ascontiguousarray(reference).reshape(-1)[::step].astype(np.float64)
    finite = np.isfinite(one) & np.isfinite(two)
    one, two = one[finite], two[finite]
    if not len(one):
        return 0.0
    one, two = one - one.mean(), two - two.mean()
    norm = float(np.sqrt((one @ one) * (two @ two)))
    if norm == 0:
        return float(not one.any() and not two.any())
    return float(one @ two) / norm


def _in_units(found: Fit, reference: Array, known: Sequence[tuple[str, float, int]]) -> Fit:
    """Codes become values by the first scale that fits nearly as well as a line through both."""
    raw = np.asarray(found.values, np.float32)
    if not _are_codes(found.values, reference):
        return Fit(found.layout, found.plain, raw, found.likeness)
    slope, offset = _line(raw, reference)
    fitted = _distance(raw * slope + offset, reference)
    for where, scale, zero_point in known:
        for shift in (0, 128, -128):  # signed bytes written as unsigned ones, or the other way
            values = (raw - (zero_point + shift)) * np.float32(scale)
            if _distance(values, reference) <= 2 * fitted + 1e-12:
                layout = found.layout + (f", codes shifted by {shift}" if shift else "")
                return Fit(layout, found.plain, values, found.likeness, True, scale, where)
    values = np.asarray(raw * slope + offset, np.float32)
    return Fit(found.layout, found.plain, values, found.likeness, True, float(slope), "fitted")


def _are_codes(values: Array, reference: Array) -> bool:
    """Whole numbers where the tensor holds none."""
    return are_whole(values) and not np.array_equal(reference, np.rint(reference))


def are_whole(values: Array) -> bool:
    """Whether these may be codes: whole numbers, and not all zero if they are stored as floats."""
    if values.dtype.kind in "iub":
        return True
    whole = bool(np.isfinite(values).all()) and np.array_equal(values, np.rint(values))
    return whole and bool(np.any(values))


def _line(values: Array, reference: Array) -> tuple[np.float32, np.float32]:
    one = values.reshape(-1).astype(np.float64)
    two = reference.reshape(-1).astype(np.float64)
    centred = one - one.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (two - two.mean())) / spread if spread else 0.0
    return np.float32(slope), np.float32(two.mean() - slope * one.mean())


def _distance(values: Array, reference: Array) -> float:
    """Mean squared difference."""
    difference = values.astype(np.float64) - reference
    return float(np.mean(difference * difference)) if difference.size else 0.0


_FEWEST_CODES, _MOST_CODES = 16, 65536
"""Different values from which on neighbouring codes are among them for certain enough, and the
codes of 16 bits."""
_ON_GRID = 0.05
"""How far a value may lie beside its code, in steps: text of six decimals, float16."""


def grid_step(values: Array) -> float | None:
    """Step of the grid on which values lie; None where they lie on none.

    Args:
        values: float32, of any shape.
    """
    found = np.unique(values)
    if not _FEWEST_CODES <= len(found) <= _MOST_CODES or not np.isfinite(found).all():
        return None
    found = found.astype(np.float64) - float(found[0])
    least = float(np.min(np.diff(found)))
    if least <= 0:  # values so near to each other, beside others so large, lie on none
        return None
    rough = np.rint(found / least)
    step = float(found[-1] / rough[-1])
    places = found / step
    return step if np.max(np.abs(places - np.rint(places))) < _ON_GRID else None
