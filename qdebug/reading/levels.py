"""What a program may take for the score of a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import sigmoid
from qdebug.analysis.tasks.head import Parts

Array = npt.NDArray[Any]
Scores = npt.NDArray[np.float64]
RIGHT = "right"
_END = 1e-6
"""Probabilities are held so far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True)
class Level:
    """One way to make scores.

    Attributes:
        name: of the mistake, ``right`` for none.
        words: what was done.
        advice: what to do instead.
        make: scores ``[n, classes]``; None where the head has no such part.
        wide: scores may leave 0..1, so that differences are relative.
    """

    name: str
    words: str
    advice: str
    make: Callable[[Parts], Scores | None]
    wide: bool = False

    def distance(self, board: Scores, own: Scores) -> Scores:
        """How far scores are apart, ``[boards, candidates]``."""
        apart = np.abs(board[:, None] - own[None, :])
        return np.asarray(apart / (1 + np.abs(own)[None, :]) if self.wide else apart)


def _logit(values: Scores) -> Scores:
    inside = np.clip(values, _END, 1 - _END)
    return np.asarray(np.log(inside / (1 - inside)))


def _twice(parts: Parts) -> Scores:
    classes, objects = sigmoid(parts.probabilities()), parts.objects()
    return classes if objects is None else classes * sigmoid(objects)


def _missing(parts: Parts) -> Scores:
    """The outputs' logits themselves, or those behind probabilities made in the graph."""
    classes, objects = _logit(parts.probabilities()), parts.objects()
    return classes if objects is None else classes * _logit(objects)


def _missing_classes(parts: Parts) -> Scores | None:
    return None if parts.objectness is None else _logit(parts.probabilities())


def _classes_only(parts: Parts) -> Scores | None:
    return None if parts.objectness is None else parts.probabilities()


def _objects_only(parts: Parts) -> Scores | None:
    objects = parts.objects()
    if objects is None:
        return None
    classes = parts.probabilities()
    return np.where(classes >= classes.max(axis=1, keepdims=True), objects, 0.0)


def _other_mean(parts: Parts) -> Scores | None:
    if parts.objectness is None:
        return None
    found = np.clip(parts.scores(), 0, None)
    return found**2 if parts.mean else np.sqrt(found)


LEVELS = (
    Level(RIGHT, "", "", lambda parts: parts.scores()),
    Level(
        "sigmoid-twice",
        "the sigmoid is applied twice",
        "Apply it once: the output, or the graph, holds probabilities already.",
        _twice,
    ),
    Level(
        "sigmoid-missing",
        "logits are taken for scores: the sigmoid is missing",
        "Apply the sigmoid before the threshold.",
        _missing,
        wide=True,
    ),
    Level(
        "sigmoid-and-objectness-missing",
        "class logits are taken for scores: the sigmoid and the objectness are missing",
        "Apply the sigmoid to both and multiply them.",
        _missing_classes,
        wide=True,
    ),
    Level(
        "objectness-missing",
        "the class alone is the score: the objectness is left out",
        "Multiply the class's probability by the objectness.",
        _classes_only,
    ),
    Level(
        "classes-missing",
        "the objectness alone is the score",
        "Multiply the objectness by the class's probability.",
        _objects_only,
    ),
    Level(
        "other-mean",
        "class and objectness are joined otherwise than the model means",
        "Use the product, or the square root of it, as the model's own decoder does.",
        _other_mean,
    ),
    Level(
        "percent",
        "scores are in percent",
        "Write scores from 0 to 1.",
        lambda parts: 100 * parts.scores(),
        wide=True,
    ),
)
