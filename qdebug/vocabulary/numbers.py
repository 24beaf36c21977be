"""Numbers as text, the same everywhere they are read.

A number never shows as better than it is: 0.99996 is no 1, 0.004 % no 0, and beside its limit a
number shows on which side of it it lies. A narrow place may drop digits of these texts
(``narrow``); nothing else rounds. The HTML page's JavaScript follows the same rules with
``PARAMETERS``; tests hold the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Literal

from qdebug.vocabulary.names import visible

Form = Literal["decibel", "cosine", "number"]
"""How a metric's value is written."""

NONE = "\N{EM DASH}"
"""Stands for a number that was not measured."""

_UNDEFINED, _INFINITE = "NaN", "∞"
_DECIBEL_DIGITS = 1
_COSINE_DIGITS = 4
_STORED_DIGITS = 9
"""Significant digits of numbers in ``run.json``; what does not differ from 1 in these is 1."""
_DIGITS = 4
_POSITIONAL = (1e-4, 1e6)
"""Numbers from the first to below the second are written without an exponent."""
_SMALL_SHARE = 1e-4

PARAMETERS: Mapping[str, Any] = {
    "none": NONE,
    "undefined": _UNDEFINED,
    "infinite": _INFINITE,
    "decibelDigits": _DECIBEL_DIGITS,
    "cosineDigits": _COSINE_DIGITS,
    "storedDigits": _STORED_DIGITS,
    "digits": _DIGITS,
    "positional": _POSITIONAL,
    "smallShare": _SMALL_SHARE,
}
"""What the JavaScript of the HTML page needs to write the same texts."""


def decibel(value: float | None, limit: float | None = None) -> str:
    """A level in dB without its unit: one decimal, or as many as the limit beside it takes."""
    if value is None:
        return NONE
    special = _special(value)
    return special or _with_digits(value, _fixed, _DECIBEL_DIGITS, limit)


def cosine(value: float | None, limit: float | None = None) -> str:
    """A cosine cut after four decimals, or after as many as it takes to tell it from 1."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return _special(value) or ""
    if float(f"{value:.{_STORED_DIGITS}g}") == 1:
        return "1"
    digits = _COSINE_DIGITS
    while float(_fixed(value, digits)) == 1:
        digits += 1
    return _with_digits(value, _cut, digits, limit)


def percent(share: float | None) -> str:
    """A share of 0..1 in per cent; only nothing is 0 % and only all is 100 %."""
    if share is None:
        return NONE
    special = _special(share)
    if special is not None:
        return special
    rounded = round(share, _STORED_DIGITS)
    if rounded in (0, 1):
        return f"{abs(100 * rounded):.0f} %"  # a zero has no sign
    if 0 < share < _SMALL_SHARE:
        return "<0.01 %"
    if 1 - _SMALL_SHARE < share < 1:
        return ">99.99 %"
    text = _fixed(100 * share, 2 if 0 < min(share, 1 - share) < 0.01 else 1)
    return f"{text.rstrip('0').rstrip('.')} %"


def number(value: float | int | str | None, limit: float | None = None) -> str:
    """Any number with four significant digits; whole numbers and texts as they are."""
    if value is None:
        return NONE
    if isinstance(value, (bool, str)):
        return visible(value)
    if isinstance(value, int):
        return str(value)
    value += 0.0  # a zero has no sign
    return _special(value) or _with_digits(value, _significant, _DIGITS, limit)


WRITERS: Mapping[Form, Callable[[float | None, float | None], str]] = {
    "decibel": decibel,
    "cosine": cosine,
    "number": number,
}
"""The writer of each form: value and, where it stands beside one, limit."""


def narrow(text: str, width: int) -> str:
    """A number's text in a narrow place: without the 0 before the point, then without last digits.

    What has no digits to spare stays as it is.
    """
    if len(text) <= width or "." not in text or "e" in text:
        return text
    short = text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
    least = short.index(".") + 2
    return short[: max(width, least)]


def shape(dimensions: tuple[int, ...]) -> str:
    """A tensor's shape: ``1×16×40×40``."""
    return "×".join(str(size) for size in dimensions) or "scalar"


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 error``, ``2 errors``; ``many`` where the plural is not the noun with an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def _with_digits(
    value: float, write: Callable[[float, int], str], digits: int, limit: float | None
) -> str:
    """The value with so many digits, or with as many as it takes to lie on its side of a limit."""
    text = write(value, digits)
    if limit is None or value == limit:
        return text
    while digits < _STORED_DIGITS and _side(float(text), limit) != _side(value, limit):
        digits += 1
        text = write(value, digits)
    return text


def _side(value: float, limit: float) -> int:
    return int(value > limit) - int(value < limit)


def _fixed(value: float, digits: int) -> str:
    """So many decimals; halves away from zero, as JavaScript has it."""
    text = str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    return text.removeprefix("-") if float(text) == 0 else text


def _cut(value: float, digits: int) -> str:
    """Towards the worse: a cosine of 0.98996 is no 0.9900."""
    text = _fixed(value, digits)
    return _fixed(float(text) - 10**-digits, digits) if float(text) > value else text


def _significant(value: float, digits: int) -> str:
    rounded = float(Context(digits, ROUND_HALF_UP).create_decimal_from_float(value))
    low, high = _POSITIONAL
    if rounded == 0 or low <= abs(rounded) < high:
        return f"{rounded:.15g}"
    return f"{rounded:.{digits}g}"


def _special(value: float) -> str | None:
    if math.isnan(value):
        return _UNDEFINED
    if math.isinf(value):
        return _INFINITE if value > 0 else f"-{_INFINITE}"
    return None
