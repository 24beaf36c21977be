"""Numbers as the screens write them: never rounded to something better than they are."""

from __future__ import annotations

import math

from qdebug.tui.glyphs import Glyphs


def decibels(value: float | None, glyphs: Glyphs) -> str:
    """An SQNR in dB with one decimal."""
    special = _special(value, glyphs)
    return special if special is not None else f"{value:.1f}"


def cosine(value: float | None, glyphs: Glyphs) -> str:
    """A cosine with four decimals, cut and not rounded: only exact equality shows as 1."""
    special = _special(value, glyphs)
    if special is not None or value is None:
        return special or glyphs.none
    if value == 1.0:
        return "1"
    cut = math.floor(value * 10_000) / 10_000
    text = f"{cut:.4f}"
    return text.replace("0.", ".", 1) if abs(cut) < 1 else text


def share(value: float | None, glyphs: Glyphs) -> str:
    """A share as a percentage; a share that is not zero never shows as zero."""
    special = _special(value, glyphs)
    if special is not None or value is None:
        return special or glyphs.none
    percent = 100 * value
    if percent == 0:
        return "0"
    return "<.01" if percent < 0.01 else f"{percent:.2f}" if percent < 10 else f"{percent:.1f}"


def plain(value: float | int | str | None, glyphs: Glyphs) -> str:
    """Any number, four significant digits; texts as they are."""
    if value is None or isinstance(value, str):
        return glyphs.none if value is None else value
    if isinstance(value, (bool, int)):
        return str(value)
    special = _special(value, glyphs)
    return special if special is not None else f"{value:.4g}"


def _special(value: float | None, glyphs: Glyphs) -> str | None:
    if value is None:
        return glyphs.none
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return glyphs.infinity if value > 0 else f"-{glyphs.infinity}"
    return None
