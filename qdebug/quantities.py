"""Sizes and choices that users write as text, on the command line and in the configuration."""

from __future__ import annotations

import re

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

DEFAULT_MEMORY = 256 << 20
"""Bytes of tensors held at once where nobody says how many: more makes nothing faster (the rows by
cap of ``docs/benchmarks.md``)."""
LOCAL_SAMPLES = 4
"""Samples that local error is measured on. It is a property of the layer: further samples move next
to no role (``docs/benchmarks.md``)."""


def parse_size(text: str) -> int:
    """Bytes of ``1GiB``, ``512MiB``, ``2GB``, ``1.5g`` or ``1000000``.

    Raises:
        ValueError: the text is no size above zero; the message says so.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size such as 512MiB or 1GiB")
    count = int(float(match[1]) * (_BINARY if match[3] else _DECIMAL)[match[2]])
    if count <= 0:
        raise ValueError("the size must be above zero")
    return count


def format_size(count: int) -> str:
    """``312 KiB``: bytes for people, three figures at most."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 999.5:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"


def format_exact_size(count: int) -> str:
    """``1GiB``, or the number of bytes: what ``parse_size`` reads as exactly that."""
    for letter, unit in reversed(_BINARY.items()):
        if count and count % unit == 0:
            return f"{count // unit}{letter.upper()}iB"
    return str(count)


def parse_keep_tensors(text: str) -> str:
    """``none``, ``all`` or ``worst:N``.

    Raises:
        ValueError: it is something else; the message says so.
    """
    if text in ("none", "all") or re.fullmatch(r"worst:[1-9]\d*", text):
        return text
    raise ValueError(f"{text!r} is not none, all or worst:N such as worst:20")
