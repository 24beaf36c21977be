"""The pictures of a tuning: which ones are searched on, and which decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.errors import InputError, UsageError

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

FEWEST = 4
"""Fewer pictures cannot be parted into some to search on and some to decide: G2 of four pictures
was seen to halve a top-1 rate while its own pictures showed a gain."""
_EVERY = 3
"""One picture in so many is held out."""
MOST_HELD_OUT = 8
"""More of them would make every measurement dearer, and decide hardly anything else. By
judgement."""
ENOUGH_HELD_OUT = MOST_HELD_OUT
"""Fewer of them may leave a gain unproven: pictures of the search stand in for them then, each
beside ranges that it had no part in. Of nine pages three are held out: a range by which two lost 0
to 0.5 dB and one won 4.8 dB won 7 dB on others."""
MOST_SEARCHED = 16
"""Gradients of 16 pictures gave all that 48 did (23.5 and 23.6 dB, MobileNetV2)."""
MOST_OF_BOXES = 8
"""The same for detectors, which have thousands of candidates a picture and run two probes."""
FOR_BIASES = 6
"""Pictures whose means correct biases: 4, 8 and 16 gave 22.0, 22.4 and 22.5 dB (MobileNetV2). All
go through the network together."""


@dataclass(frozen=True)
class Split:
    """Positions of the pictures.

    Attributes:
        searched: candidates are made from these.
        held_out: these decide, and nothing is made from them.
    """

    searched: tuple[int, ...]
    held_out: tuple[int, ...]


def split(count: int) -> Split:
    """Hold out every third picture.

    Raises:
        UsageError: there are too few.
    """
    if count < FEWEST:
        raise UsageError(
            f"{count} picture{'s are' if count > 1 else ' is'} too few to tune on: a third decides "
            f"and is not searched on, so {FEWEST} are needed",
            "give 12 to 24 pictures that show what the model will see",
        )
    held = tuple(range(_EVERY - 1, count, _EVERY))[:MOST_HELD_OUT]
    rest = tuple(at for at in range(count) if at % _EVERY != _EVERY - 1)
    return Split(rest[:MOST_SEARCHED], held)


def check_signal(references: Sequence[Values]) -> None:
    """Refuse pictures on which the float model says nothing.

    Args:
        references: the float model's outputs, picture by picture.

    Raises:
        InputError: they are all the same, or not finite.
    """
    first = references[0]
    if not all(np.isfinite(v).all() for values in references for v in values.values()):
        raise InputError(
            "the float model's outputs are not finite on these pictures",
            "run qdebug compare on one of them: it names the layer where that begins",
        )
    if all(
        other[name].shape == value.shape and np.array_equal(other[name], value)
        for other in references[1:]
        for name, value in first.items()
    ):
        raise InputError(
            "the float model gives the same outputs on every picture: they hold no signal",
            "give different pictures of what the model is for, and check the pipeline (-p)",
        )
