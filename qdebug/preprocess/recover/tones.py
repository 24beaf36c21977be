"""Curves that every pixel may have gone through: gamma, sRGB's transfer function, any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_CODES = np.arange(256) / 255
_EXPONENTS = np.geomspace(1 / 3, 3, 23)
"""Beyond gamma 3 no camera or screen goes. Steps of 10 %; the usual ones stand beside them."""
_USUAL = (1.8, 2.0, 2.2, 2.4)
_NEAR = 0.03
"""An exponent within this share of a usual one is called by it: the grid's own step."""
_KNOTS = 9


@dataclass(frozen=True)
class Tone:
    """A curve that every pixel went through."""

    words: str
    table: tuple[float, ...]
    """Code that became of each code 0..255."""
    free: bool = False
    """Whether it is any monotone curve, which holds a gain and an offset of its own."""

    @classmethod
    def of(cls, words: str, curve: Floats, *, free: bool = False) -> Tone:
        """Make a tone of a curve over 256 codes on 0..1."""
        return cls(words, tuple(float(v) for v in np.clip(curve * 255, 0, 255)), free)

    def apply(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Look pixel codes up, [height, width, 3] or [positions, 3]."""
        import cv2

        whole = codes
        if codes.dtype != np.uint8:
            whole = np.clip(np.rint(codes), 0, 255).astype(np.uint8)
        looked_up = cv2.LUT(np.ascontiguousarray(whole), np.array(self.table, np.float32))
        return np.asarray(looked_up, np.float32).reshape(codes.shape)


def power(exponent: float) -> Tone:
    """``x ** exponent`` on 0..1."""
    return Tone.of(_power_words(exponent), _CODES**exponent)


def _power_words(exponent: float) -> str:
    for usual in _USUAL:
        for value, words in ((usual, f"gamma {usual:g}"), (1 / usual, f"gamma 1/{usual:g}")):
            if abs(exponent / value - 1) <= _NEAR:
                return f"{words} is applied to the pixels"
    return f"a gamma of about {exponent:.2f} is applied to the pixels"


def named_tones() -> list[Tone]:
    """Powers, without 1, and sRGB's transfer function both ways (IEC 61966-2-1)."""
    decoded = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
    encoded = np.where(
        _CODES <= 0.0031308, 12.92 * _CODES, 1.055 * np.maximum(_CODES, 1e-9) ** (1 / 2.4) - 0.055
    )
    usual = [p for u in _USUAL for p in (u, 1 / u)]
    grid = [e for e in _EXPONENTS if abs(e - 1) > _NEAR]
    return [
        *(power(e) for e in (*usual, *grid)),
        Tone.of("sRGB values are decoded to linear light", decoded),
        Tone.of("linear light is encoded as sRGB", encoded),
    ]


def hats() -> list[Floats]:
    """The basis of curves that are linear between knots: one table of 256 weights a knot."""
    knots = np.linspace(0, 255, _KNOTS)
    return [np.interp(np.arange(256), knots, np.eye(_KNOTS)[k]) for k in range(_KNOTS)]


def free_tone(heights: Floats) -> Tone | None:
    """The curve with these codes at its knots; None if it is not monotone.

    A map that turns is no tone curve. A knot that no pixel reaches may be off by a code.
    """
    curve = np.interp(np.arange(256), np.linspace(0, 255, _KNOTS), heights)
    if (np.diff(heights) < -1).any():
        return None
    words = "the pixels went through a tone curve that is no power law"
    return Tone.of(words, np.maximum.accumulate(curve) / 255, free=True)
