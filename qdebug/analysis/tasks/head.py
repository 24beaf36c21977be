"""What a detector's head is: how boxes, scores and points are read out of the outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import OVERLAP
from qdebug.analysis.tasks.task import Outputs

Array = npt.NDArray[Any]
Candidates = tuple[Array, Array]
"""Corners ``[n, 4]`` in pixels of the input, and scores ``[n, classes]``."""


@dataclass(frozen=True)
class Head:
    """A way to read boxes out of the outputs.

    Attributes:
        form: for people.
        decode: outputs of one sample to candidates, before threshold and suppression.
        reads: names of the outputs it reads.
        overlap: for suppression; 1 where the model has suppressed overlapping boxes itself.
        points: outputs of one sample to the landmarks of every candidate, float64 ``[n, k, 2]`` in
            pixels of the input; None where there are none.
        assumed: what nothing in the outputs confirms; empty where all is known.
        drawable: whether the corners are places in the picture.
        any_length: the number of rows depends on the picture.
    """

    form: str
    decode: Callable[[Outputs], Candidates]
    reads: tuple[str, ...] = ()
    overlap: float = OVERLAP
    points: Callable[[Outputs], Array] | None = None
    assumed: str = ""
    drawable: bool = True
    any_length: bool = False


def corners_from_sides(centers: Array, sides: Array) -> npt.NDArray[np.float64]:
    """Corners from a centre ``[n, 2]`` and distances to left, top, right, bottom ``[n, 4]``."""
    low, high = centers - sides[:, :2], centers + sides[:, 2:4]
    return np.concatenate([low, high], axis=1)
