"""How finely a weight is quantized."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.weight_grid import FEWEST, Grid, distinct, grid_of
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.weights import weight_rows
from qdebug.graph.pairs import WeightPair

Array = npt.NDArray[Any]

COARSE_BITS = 6.0
"""Bits that an error leaves, below which it is not that of 8 bits. A step of ``2 max / 255`` is 8
bits; reduced ranges take one, and a channel whose every weight lies half a step off, not evenly
spread over it, 0.8 more: that is log2(sqrt(12) / 2)."""
_FEW_LEVELS = 64
"""2 to the power of ``COARSE_BITS``: codes that a coarse weight has at most."""
_MANY = 0.5
"""Share of coarse channels from which it is the layer that is coarse. By judgement."""
_TIMES = 4
"""Values for each level, from which it is no chance that there are so few levels. By judgement."""
_LEVELS = 256
"""Levels of 8 bits."""
_TELLING = _TIMES * FEWEST
"""Values of a weight from which it counts for or against weights that were quantized."""
_MOST = 0.5
"""Share of the weights that lie on grids, from which the model was quantized before; single ones
may be built so. By judgement."""
_BUILT = 0.5
"""Share of the bytes that the same values take in random order, below which a rule made a weight.
The zoo's MobileNetV2, rounded after training, takes 0.79 to 1.0 of them, the ramps and bins of
``benchmarks.small_nets`` 0.2 at most. By judgement."""
_WINDOW = 1 << 15
"""Values of a weight that are asked: deflate finds nothing again that is further back, so more of
them tell the same (RFC 1951)."""


@dataclass(frozen=True)
class Coarse:
    """A weight with far fewer levels than 8 bits give.

    Attributes:
        pair: float and quant weight.
        channels: output channels that are coarse.
        bits: what their error leaves, the median of them.
        total: number of channels.
        db: SQNR of these channels together, dB.
    """

    pair: WeightPair
    channels: tuple[int, ...]
    bits: float
    total: int
    db: float


def coarse_weight(context: CheckContext, pair: WeightPair) -> Coarse | None:
    """What makes a weight coarse; None where it is not, or where its error is no rounding.

    An error of rounding has a root mean square of ``step / sqrt(12)``, and ``b`` bits over
    ``-max..max`` have the step ``2 max / (2^b - 1)``: the error says how many bits are left. That
    it is rounding is told by the codes: there are few, or their step is that large.
    """
    f, q = weight_rows(pair)
    if pair.role != "weight" or f.shape != q.shape or not f.size:
        return None
    bits = _bits_left(pair, f, q)
    wrong = bits < COARSE_BITS
    if not wrong.any() or not _is_rounding(context, pair, f, q, wrong):
        return None
    noise = float(((q - f)[wrong] ** 2).sum())
    of_8_bits = (2 * np.abs(f).max() / (_LEVELS - 1)) ** 2 / 12 * f.size
    if wrong.mean() < _MANY and noise <= of_8_bits:
        return None  # quiet channels: one scale of 8 bits for all would cost more
    db = 10 * float(np.log10((f[wrong] ** 2).sum() / noise))
    channels = tuple(np.flatnonzero(wrong).tolist())
    return Coarse(pair, channels, float(np.median(bits[wrong])), len(f), db)


def _bits_left(pair: WeightPair, f: Array, q: Array) -> Array:
    """Bits that each channel's error leaves; infinite without an error."""
    per_tensor = pair.quantizer is not None and pair.quantizer.scale.size == 1
    peak, power = np.abs(f).max(axis=1), ((q - f) ** 2).mean(axis=1)
    if per_tensor:  # one step for all, set by the largest
        peak, power = np.full(len(f), peak.max()), np.full(len(f), power.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = 2 * peak / np.sqrt(12 * power)
    return np.where(power > 0, np.log2(steps + 1), np.inf)


def _is_rounding(context: CheckContext, pair: WeightPair, f: Array, q: Array, wrong: Array) -> bool:
    """Whether few levels explain the error."""
    quantizer = pair.quantizer
    if quantizer is not None and quantizer.high - quantizer.low < _FEW_LEVELS:
        return True
    if quantizer is not None and not quantizer.block_size:
        step = np.broadcast_to(quantizer.scale.reshape(-1).astype(np.float64), (len(f),))[wrong]
        few_codes = bool((2 * np.abs(f[wrong]).max(axis=1) < _FEW_LEVELS * step).all())
        if few_codes and bool((np.abs(q - f)[wrong] <= step[:, None]).all()):
            return True
    codes = context.quant_graph.constant(pair.quant_tensor)
    stored = codes is not None and codes.dtype.kind in "iu" and codes.size == q.size
    values = codes if stored and codes is not None else q[wrong]
    levels = len(np.unique(values))
    return levels <= _FEW_LEVELS and values.size >= _TIMES * levels


def quantized_before(pairs: Iterable[WeightPair]) -> tuple[list[tuple[WeightPair, Grid]], int]:
    """Float weights that lie on 8-bit grids, where most do: then the model was quantized before.

    One weight on a grid proves little: filters are built that are ramps, boxes, or interpolate.
    Those (``_is_built``) count neither way, and of the others most have to lie on a grid. A weight
    that several layers share counts once.

    Args:
        pairs: weights of the model.

    Returns:
        The weights with their grids, none where most lie on no grid, and how many were judged.
    """
    known: dict[str, Grid | None] = {}
    found, judged = [], 0
    for pair in pairs:
        levels = distinct(pair.reference)
        if pair.reference.size < _TELLING or len(levels) < FEWEST:
            continue
        grid = grid_of(levels) if len(levels) <= _LEVELS else None
        if grid is not None and _is_built(weight_rows(pair)[0], grid):
            continue
        known[pair.float_tensor] = grid
        judged += 1
        if grid is not None:
            found.append((pair, grid))
    on_grid = sum(grid is not None for grid in known.values())
    return (found if on_grid > _MOST * len(known) else []), judged


def _is_built(values: Array, grid: Grid) -> bool:
    """Whether a rule makes these values: they compress far better than in random order.

    Rounded weights carry something new in each value. The most frequent one, zero where weights
    were pruned, says nothing.
    """
    codes = np.rint((values.reshape(-1) - grid.low) / grid.step).astype(np.uint8)
    rest = codes[codes != np.bincount(codes).argmax()][:_WINDOW]
    mixed = np.random.default_rng(0).permutation(rest)
    return min(_deflated(rest), _deflated(np.diff(rest))) < _BUILT * _deflated(mixed)


def _deflated(codes: Array) -> int:
    return len(zlib.compress(codes.tobytes(), 9))
