"""Themes, and the styles that screens take from whichever theme is on.

Meaning never rests on colour alone: every status has its glyph, every series its own character.
The own themes use colours that stay apart for the common kinds of colour blindness (after Okabe
and Ito, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="qdebug-dark",
    primary="#56b4e9",
    secondary="#e69f00",
    accent="#7fc8f8",
    foreground="#d8dee6",
    background="#10151c",
    surface="#161d26",
    panel="#1e2732",
    success="#4cc38a",
    warning="#f0b429",
    error="#ff7059",
    dark=True,
)
LIGHT = Theme(
    name="qdebug-light",
    primary="#0072b2",
    secondary="#b35900",
    accent="#005a8c",
    foreground="#1b2430",
    background="#fbfbf9",
    surface="#f1f2f0",
    panel="#e3e6e6",
    success="#00704f",
    warning="#8a5a00",
    error="#b3261e",
    dark=False,
)
CONTRAST = Theme(
    name="qdebug-contrast",
    primary="#5cc8ff",
    secondary="#ffb000",
    accent="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#262626",
    success="#00e5a0",
    warning="#ffb000",
    error="#ff5f3c",
    dark=True,
)
MONO = Theme(
    name="qdebug-mono",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffffff",
    foreground="#e6e6e6",
    background="#000000",
    surface="#000000",
    panel="#303030",
    success="#e6e6e6",
    warning="#e6e6e6",
    error="#ffffff",
    dark=True,
)
THEMES = (DARK, LIGHT, CONTRAST, MONO)
CYCLE = (*(theme.name for theme in THEMES), "ansi-dark", "ansi-light")
"""Order of the theme key; the last two use the terminal's own colours."""


@dataclass(frozen=True)
class Palette:
    """Styles by meaning."""

    mono: bool
    text: Style
    dim: Style
    bold: Style
    accent: Style
    bad: Style
    warn: Style
    good: Style
    calm: Style
    float_side: Style
    quant_side: Style
    header: Style
    cursor: Style
    cursor_idle: Style
    found: Style
    badges: dict[str, Style]

    def grade(self, sqnr_db: float | None) -> Style:
        """Style of an SQNR in dB: bad below 10 and where undefined, warning below 20."""
        if sqnr_db is None:
            return self.dim
        if math.isnan(sqnr_db):
            return self.bad
        return self.bad if sqnr_db < 10 else self.warn if sqnr_db < 20 else self.text


def palette_of(theme: Theme) -> Palette:
    """The styles of a theme, one of ours or one of Textual's."""
    if theme.name == MONO.name:
        return _mono()
    fallback = DARK if theme.dark else LIGHT
    bad = _rich(theme.error or fallback.error)
    warn = _rich(theme.warning or fallback.warning)
    good = _rich(theme.success or fallback.success)
    primary = _rich(theme.primary)
    panel = _rich(theme.panel or fallback.panel)
    ink = _rich(theme.background or fallback.background)
    ansi = theme.name.startswith("ansi")
    return Palette(
        mono=False,
        text=Style(),
        dim=Style(dim=True),
        bold=Style(bold=True),
        accent=Style(color=primary),
        bad=Style(color=bad, bold=True),
        warn=Style(color=warn),
        good=Style(color=good),
        calm=Style(color=primary) if ansi else Style(color=_between(theme, fallback, 0.55)),
        float_side=Style(color=primary),
        quant_side=Style(color=_rich(theme.secondary or fallback.secondary)),
        header=Style(bold=True) if ansi else Style(bold=True, bgcolor=panel),
        cursor=Style(reverse=True) if ansi else Style(bgcolor=_between(theme, fallback, 0.3)),
        cursor_idle=Style(underline=True) if ansi else Style(bgcolor=panel),
        found=Style(underline=True, color=bad),
        badges={
            "fail": Style(color=ink, bgcolor=bad, bold=True),
            "warn": Style(color=ink, bgcolor=warn, bold=True),
            "pass": Style(color=ink, bgcolor=good, bold=True),
            "inconclusive": Style(color=ink, bgcolor=primary, bold=True),
        },
    )


def _mono() -> Palette:
    strong, plain, dim = Style(bold=True), Style(), Style(dim=True)
    inverse = Style(reverse=True)
    return Palette(
        mono=True,
        text=plain,
        dim=dim,
        bold=strong,
        accent=Style(underline=True),
        bad=strong,
        warn=strong,
        good=plain,
        calm=plain,
        float_side=plain,
        quant_side=strong,
        header=Style(bold=True, underline=True),
        cursor=inverse,
        cursor_idle=Style(underline=True),
        found=Style(underline=True),
        badges=dict.fromkeys(("fail", "warn", "pass", "inconclusive"), inverse + strong),
    )


def _between(theme: Theme, fallback: Theme, part: float) -> RichColor:
    """A colour on the way from the background to the primary one."""
    background = Color.parse(theme.background or fallback.background or "#000000")
    return background.blend(Color.parse(theme.primary), part).rich_color


def _rich(value: str | None) -> RichColor:
    return Color.parse(value or "ansi_default").rich_color
