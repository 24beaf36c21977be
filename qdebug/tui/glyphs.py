"""The characters that screens are drawn with, and their stand-ins for terminals without Unicode."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from qdebug.vocabulary.names import ascii_text


@dataclass(frozen=True)
class Glyphs:
    """One way to draw everything. Bars run from empty to full."""

    ascii_only: bool
    ellipsis: str
    none: str
    between: str
    arrow: str
    back: str
    dot: str
    source: str
    victim: str
    broken: str
    not_compared: str
    sound: str
    marked: str
    fail: str
    warn: str
    passed: str
    info: str
    folded: str
    unfolded: str
    levels: str
    """Vertical bars of one cell, from empty to full."""
    bar: str
    bar_track: str
    shades: str
    """Brightness of one cell, dark to light."""
    line: str
    pointer: str
    times: str
    half_block: bool
    """Whether one cell can show two pixels."""

    def text(self, number: str) -> str:
        """A number's text in these characters."""
        return ascii_text(number) if self.ascii_only else number


UNICODE = Glyphs(
    ascii_only=False,
    ellipsis="…",
    none="—",
    between="↔",
    arrow="→",
    back="←",
    dot="·",
    source="◆",
    victim="▿",
    broken="✗",
    not_compared="∅",
    sound=" ",
    marked="★",
    fail="✗",
    warn="!",
    passed="✓",
    info="i",
    folded="▸",
    unfolded="▾",
    levels=" ▁▂▃▄▅▆▇█",
    bar="█",
    bar_track="─",
    shades=" ░▒▓█",
    line="─",
    pointer="▲",
    times="×",
    half_block=True,
)

ASCII = Glyphs(
    ascii_only=True,
    ellipsis="~",
    none="-",
    between="<>",
    arrow="->",
    back="<-",
    dot=".",
    source="*",
    victim="v",
    broken="x",
    not_compared="0",
    sound=" ",
    marked="+",
    fail="x",
    warn="!",
    passed="ok",
    info="i",
    folded=">",
    unfolded="v",
    levels=" .:-=+*%#",
    bar="#",
    bar_track=".",
    shades=" .:-=+*%@",
    line="-",
    pointer="^",
    times="x",
    half_block=False,
)


def needs_ascii(environment: Mapping[str, str], encoding: str | None) -> bool:
    """Whether the terminal is known to lack Unicode: by its encoding, ``TERM`` or the user's wish.

    ``QDEBUG_ASCII`` set to ``1`` or ``0`` decides.
    """
    wish = environment.get("QDEBUG_ASCII", "")
    if wish:
        return wish != "0"
    if environment.get("TERM", "") in ("dumb", "vt100", "vt102", "vt220"):
        return True
    return "utf" not in (encoding or "").lower().replace("-", "")


def detect_glyphs() -> Glyphs:
    """The glyphs for this terminal."""
    encoding = getattr(sys.__stdout__, "encoding", None)
    return ASCII if needs_ascii(os.environ, encoding) else UNICODE
