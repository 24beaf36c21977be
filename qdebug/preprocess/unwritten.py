"""What was found about a fed tensor that no step of a spec writes."""

from __future__ import annotations

from collections.abc import Iterable

from qdebug.preprocess.differences import Difference
from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.recover import Recovery

VALUE_CHANGES = frozenset({"gamma", "yuv-range", "yuv-matrix"})
"""What changes the values of the pixels before the normalization; one hides another."""


def unwritten(found: Recovery, *, turned: bool) -> list[Difference]:
    """Name a curve, a shift, a quantizer's grid and a compression.

    Args:
        found: what is known of the fed tensor.
        turned: whether the picture is turned; its rounding then moves it by a pixel, too.
    """
    named = []
    if found.tone:
        named.append(Difference("gamma", found.tone.words, "no curve", "a curve", "soft"))
    if found.shift != (0, 0) and not (turned and max(map(abs, found.shift)) <= 1):
        words = f"the picture lies {_beside(found.shift)} its place"
        named.append(Difference("resize-geometry", words, "its place", "moved", "soft"))
    if found.lattice:
        words = (
            f"all values lie on one grid, its steps up to {rounded(found.lattice, 3):g} pixel"
            " codes: rounded as the quantizer of the input does, which is harmless there"
        )
        named.append(Difference("decoder-difference", words, "not rounded", "rounded", "slight"))
    if found.compression:
        words = f"the pixels differ by {rounded(found.fit.rms, 2):g} codes (rms), as by"
        sentence = f"{words} {found.compression}"
        named.append(
            Difference("decoder-difference", sentence, "no loss", found.compression, "slight")
        )
    return named


def _beside(shift: tuple[int, int]) -> str:
    """Write (1, -1) as words: 1 pixel to the right of and 1 above."""
    x, y = shift
    across = f"{abs(x)} to the {'right' if x > 0 else 'left'} of" if x else ""
    down = f"{abs(y)} {'below' if y > 0 else 'above'}" if y else ""
    return " and ".join(words for words in (across, down) if words) + ", in pixels,"


def partition(named: Iterable[Difference]) -> tuple[list[Difference], list[Difference]]:
    """Split into a normalization that is nobody's convention, and everything else."""
    invented: list[Difference] = []
    known: list[Difference] = []
    for difference in named:
        (invented if difference.invented else known).append(difference)
    return invented, known
