"""What one model's outputs hold of one picture, read rightly and by the mistakes of its head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import softmax
from qdebug.analysis.tasks.head import Head, Parts
from qdebug.preprocess.geometry import Geometry

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Codes = Mapping[str, tuple[float, int]]
"""Scale and zero point of the outputs that boards give as codes."""

RIGHT, CODES = "right", "codes"
_MOST = 1500
"""Candidates kept by each part of the score, best first: NMS of a crowd looks at fewer."""


@dataclass(frozen=True)
class Seen:
    """The candidates of one picture.

    Attributes:
        readings: by the name of the mistake, ``right`` first; the same candidates in each.
        geometry: how the picture came into the model's input.
        suppress: whether overlapping boxes are left to the program to suppress.
    """

    readings: Mapping[str, Parts]
    geometry: Geometry
    suppress: bool

    @property
    def right(self) -> Parts:
        """Read as the model means it."""
        return self.readings[RIGHT]


def see(head: Head, outputs: Outputs, geometry: Geometry, codes: Codes) -> Seen:
    """Read the outputs of one picture.

    Args:
        head: how they are read.
        outputs: of one model.
        geometry: of the picture.
        codes: of outputs that are quantized.
    """
    readings = {RIGHT: head.parts(outputs)}
    readings |= {name: read(outputs) for name, read in head.misread.items()}
    if coded := {name for name in head.reads if name in codes}:
        held = {n: _as_codes(v, *codes[n]) if n in coded else v for n, v in outputs.items()}
        readings[CODES] = head.parts(held)
    readings |= dict(_of_classes(readings[RIGHT]))
    rows = _rows(readings[RIGHT])
    return Seen({n: p.take(rows) for n, p in readings.items()}, geometry, head.overlap < 1)


def _as_codes(values: Array, scale: float, zero_point: int) -> Array:
    return np.asarray(np.rint(values / scale) + zero_point, np.float32)


def _of_classes(parts: Parts) -> list[tuple[str, Parts]]:
    """What goes wrong where a softmax makes the scores, or one column is the background."""
    found = []
    if parts.activation == "softmax":
        wrong = softmax(parts.classes, axis=0)
        found.append(("class-softmax-axis", replace(parts, classes=wrong, activation="none")))
    if parts.background is not None:
        found.append(("background", replace(parts, background=None)))
    return found


def _rows(parts: Parts) -> Array:
    """The candidates that any reading may choose: the best by score, class and objectness."""
    orders = [parts.scores(), parts.probabilities()]
    objects = parts.objects()
    if objects is not None:
        orders.append(objects)
    best = [np.argsort(-np.nan_to_num(x).max(axis=1), kind="stable")[:_MOST] for x in orders]
    usable = np.all(np.isfinite(np.asarray(parts.corners, np.float64)), axis=1)
    rows = np.unique(np.concatenate(best))
    return np.asarray(rows[usable[rows]])
