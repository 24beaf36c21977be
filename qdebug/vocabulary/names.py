"""Names out of models and files as text that cannot mislead, and text for plain terminals."""

from __future__ import annotations

import unicodedata

_BIDI_AND_CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
_ASCII = str.maketrans(
    {
        "✗": "x",
        "✓": "+",
        "·": ".",
        "…": "~",
        "—": "-",
        "–": "-",
        "─": "-",
        "│": "|",
        "┤": "|",
        "┴": "+",
        "▲": "^",
        "×": "x",
        "≥": ">=",
        "≤": "<=",
        "∞": "inf",
        "→": "->",
        "↔": "<->",
        "Σ": "sum ",
        "√": "sqrt",
        "²": "^2",
        "₁": "1",
        "₀": "0",
    }
)


def visible(text: object, *, lines: bool = False) -> str:
    """Text in which nothing hides: control and direction characters are spelled out.

    Args:
        text: any value; its ``str``.
        lines: keep line breaks.
    """
    written = str(text)
    if written.isprintable():
        return written
    return "".join(
        character
        if character.isprintable() or (lines and character == "\n")
        else _spelled_out(character)
        for character in written
    )


def ascii_text(text: str) -> str:
    """The text for a terminal without Unicode: signs by their stand-ins, the rest as escapes."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def _spelled_out(character: str) -> str:
    if unicodedata.category(character) not in _BIDI_AND_CONTROL:
        return character
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
