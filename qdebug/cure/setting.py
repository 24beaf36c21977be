"""How one activation quantizer is set: the data that a plan is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdebug.graph.pairs import Quantizer

FREE = 32
"""Bits of a tensor that is left in floating point."""
_FREE_ROOM = 2.0
"""A tensor left in floating point is run with 16 bits over this many times its range: its error is
then below -80 dB, and the session needs no second form of the graph."""


@dataclass(frozen=True)
class Setting:
    """A quantizer of one scale: ``code = clip(round(x / scale) + zero, 0, levels)``.

    Attributes:
        scale: step of the codes, a float32 number.
        zero: code of zero, counted from the lowest code (so it does not depend on the sign of the
            code type).
        levels: number of steps, ``2 ** bits - 1`` where no code is left out.
        bits: 8 or 16; ``FREE`` where the tensor stays in floating point.
    """

    scale: float
    zero: int
    levels: int
    bits: int

    @property
    def low(self) -> float:
        """Smallest representable number."""
        return float(np.float32(-self.zero * self.scale))

    @property
    def high(self) -> float:
        """Largest representable number."""
        return float(np.float32((self.levels - self.zero) * self.scale))


def given(quantizer: Quantizer) -> Setting:
    """The setting that a quantizer of one scale has."""
    levels = quantizer.high - quantizer.low
    zero = int(quantizer.zero_point.reshape(-1)[0]) - quantizer.low
    bits = 16 if levels > 255 else 8
    return Setting(float(quantizer.scale.reshape(-1)[0]), zero, levels, bits)


@dataclass(frozen=True)
class Scheme:
    """What a target can express.

    Attributes:
        symmetric: zero is the middle code.
        power_of_two: scales are powers of two.
        unsigned: where nothing is below zero, zero is the lowest code instead of the middle one.
    """

    symmetric: bool = False
    power_of_two: bool = False
    unsigned: bool = False

    def fits(self, setting: Setting) -> bool:
        """Whether a setting can be expressed."""
        middle = setting.zero == (setting.levels + 1) // 2
        placed = middle or (self.unsigned and setting.zero == 0)
        power = math.log2(setting.scale).is_integer()
        return (placed or not self.symmetric) and (power or not self.power_of_two)

    def over(self, low: float, high: float, bits: int) -> Setting:
        """The finest setting whose interval holds a range; zero always is a code.

        Args:
            low: smallest number to be held.
            high: largest.
            bits: 8, 16 or ``FREE``.
        """
        if bits == FREE:
            return _over(low * _FREE_ROOM, high * _FREE_ROOM, 16, FREE)
        if self.symmetric and not (self.unsigned and low >= 0):
            return self._symmetric(max(-low, high), bits)
        found = _over(low, high, bits, bits)
        if not self.power_of_two:
            return found
        scale = _power_of_two(found.scale)
        zero = int(np.clip(round(-min(low, 0.0) / scale), 0, found.levels))
        return Setting(scale, zero, found.levels, bits)

    def _symmetric(self, end: float, bits: int) -> Setting:
        middle = 2 ** (bits - 1)
        scale = float(np.float32(max(end, _SMALLEST) / (middle - 1)))
        scale = _power_of_two(scale) if self.power_of_two else scale
        return Setting(scale, middle, 2 * middle - 1, bits)


_SMALLEST = 1e-12
"""A range of nothing but zeros still needs a scale."""


def _over(low: float, high: float, bits: int, named: int) -> Setting:
    low, high = min(low, 0.0), max(high, 0.0)
    levels = 2**bits - 1
    scale = float(np.float32(max(high - low, _SMALLEST) / levels))
    zero = int(np.clip(np.rint(-low / scale), 0, levels))
    return Setting(scale, zero, levels, named)


def _power_of_two(scale: float) -> float:
    return float(2.0 ** math.ceil(math.log2(scale)))


def scheme_of(quantizers: list[Quantizer]) -> Scheme:
    """What all the given quantizers keep to: the target's constraints, as far as they show."""
    settings = [given(q) for q in quantizers]
    middle = [s.zero == (s.levels + 1) // 2 for s in settings]
    placed = all(m or s.zero == 0 for m, s in zip(middle, settings, strict=True))
    powers = all(math.log2(s.scale).is_integer() for s in settings if s.scale > 0)
    is_symmetric = any(middle) and placed
    return Scheme(is_symmetric, bool(settings) and powers, is_symmetric and not all(middle))
