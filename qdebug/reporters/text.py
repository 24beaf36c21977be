"""Numbers and names as text, the same in every report.

A number never shows as better than it is: 0.99996 is not rounded to 1, 0.004 % not to 0.
"""

from __future__ import annotations

import math
import unicodedata

from qdebug.run.model import Layer, OutputResult

NONE = "\N{EM DASH}"
"""Stands for a number that was not measured."""

STATE_WORDS = {
    "ok": "ok",
    "identical": "identical",
    "zero_both": "zero on both sides",
    "zero_quant": "zero in the quant run",
    "zero_float": "zero in the float run",
    "nonfinite": "NaN or Inf",
    "low_signal": "low signal",
    "not_compared": "not compared",
}
STATUS_GLYPHS = {
    "fail": "✗",
    "error": "✗",
    "warn": "!",
    "info": "i",
    "pass": "✓",
    "inconclusive": "?",
    "not_applicable": "·",
}
STATUS_WORDS = {
    "fail": "failed",
    "error": "check crashed",
    "warn": "warning",
    "info": "note",
    "pass": "passed",
    "inconclusive": "inconclusive",
    "not_applicable": "not applicable",
}
GATE_WORDS = {
    "input": "input",
    "float": "float graph",
    "ceiling": "16-bit ceiling",
    "int8": "int8",
    "board": "board",
    "output": "reading of the output",
}
_NEAR_ONE = 9
_BIDI_AND_CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: object, *, lines: bool = False) -> str:
    """Text in which nothing hides: control and direction characters are spelled out.

    Args:
        text: any value; its ``str``.
        lines: keep line breaks.
    """
    return "".join(
        character
        if character.isprintable() or (lines and character == "\n")
        else _spelled_out(character)
        for character in str(text)
    )


def decibel(value: float | None) -> str:
    """A ratio in dB with one decimal, without its unit."""
    if value is None:
        return NONE
    return _special(value) or f"{value:.1f}".replace("-0.0", "0.0")


def cosine(value: float | None) -> str:
    """A cosine with four decimals, or as many as it takes to tell it from 1."""
    if value is None:
        return NONE
    if not math.isfinite(value) or value == 1:
        return _special(value) or "1"
    for digits in range(4, _NEAR_ONE):
        text = f"{value:.{digits}f}"
        if float(text) != 1:
            return text
    return "1"


def percent(share: float | None) -> str:
    """A share of 0..1 in per cent."""
    if share is None:
        return NONE
    if not math.isfinite(share) or share == 0:
        return _special(share) or "0 %"
    if share < 0.0001:
        return "<0.01 %"
    if round(share, _NEAR_ONE) == 1:
        return "100 %"
    return f"{100 * share:.2f} %" if share < 0.01 else f"{100 * share:.1f} %"


def number(value: float | int | str | None) -> str:
    """Any number with four significant digits; text as it is."""
    if value is None:
        return NONE
    if isinstance(value, (bool, str)):
        return visible(value)
    return _special(value) or (str(value) if isinstance(value, int) else f"{value:.4g}")


def shape(dimensions: tuple[int, ...]) -> str:
    """A tensor's shape: ``1×16×40×40``."""
    return "×".join(str(size) for size in dimensions) or "scalar"


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 error``, ``2 errors``; ``many`` where the plural is not the noun with an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def layer_label(layer: Layer) -> str:
    """``#112 /model.22/Conv``, safe to print."""
    return f"#{layer.index} {visible(layer.name)}"


def accumulated_db(item: Layer | OutputResult) -> float | None:
    """Accumulated SQNR of a layer or output in dB."""
    return None if item.accumulated is None else item.accumulated.sqnr_db


def local_db(layer: Layer) -> float | None:
    """Local SQNR of a layer in dB."""
    return None if layer.local is None else layer.local.sqnr_db


def sensitivity_db(layer: Layer) -> float | None:
    """Sensitivity of a layer: SQNR at the model's outputs in dB."""
    return None if layer.sensitivity is None else layer.sensitivity.sqnr_db


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return None


def _spelled_out(character: str) -> str:
    if unicodedata.category(character) not in _BIDI_AND_CONTROL:
        return character
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
