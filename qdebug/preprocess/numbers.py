"""Numbers as people write them in a preprocessing spec, read and written without loss."""

from __future__ import annotations

import math
from collections.abc import Iterable

from qdebug.errors import InputError


def parse_number(text: str) -> float:
    """Read ``127.5``, ``1e-3`` or a fraction such as ``1/255``.

    Raises:
        InputError: ``text`` is no finite number.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{text!r} is not a number")
    return value


def parse_numbers(text: str) -> tuple[float, ...]:
    """Read one number, or several separated by commas, with or without brackets."""
    parts = [part for part in text.strip("[]()").split(",") if part]
    if not parts:
        raise InputError(f"{text!r} holds no number")
    return tuple(parse_number(part) for part in parts)


def format_number(value: float) -> str:
    """Write the shortest text that reads back as the same float."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def format_numbers(values: Iterable[float]) -> str:
    """Write numbers separated by commas."""
    return ",".join(format_number(value) for value in values)


def format_factor(value: float) -> str:
    """Write ``1/255`` where that reads back as the same float, else the number itself."""
    if 1e-9 < value < 1:
        inverse = round(1 / value)
        if inverse > 1 and 1 / inverse == value:
            return f"1/{inverse}"
    return format_number(value)


def rounded(value: float, digits: int = 6) -> float:
    """Round to significant digits, for numbers that people read."""
    return float(f"{value:.{digits}g}")
