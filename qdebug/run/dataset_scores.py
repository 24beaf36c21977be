"""Scores against labels, as a run holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Score:
    """One number of one model on a data set."""

    value: float
    interval: tuple[float, float] | None = None
    """95 % interval of the number, by a bootstrap over the pictures."""
    kept: float | None = None
    """Share of the reference's number; null for the reference, and where that is 0."""
    difference: float | None = None
    """The number minus the reference's; null for the reference."""
    difference_interval: tuple[float, float] | None = None
    """95 % interval of the difference, both models on the same resamples of the pictures."""


@dataclass(frozen=True)
class DatasetRow:
    """One model's scores."""

    model: str
    """File name without its folder."""
    origin: Literal["model", "predictions"]
    """Whether qdebug ran it, or read what another program had found."""
    scores: Mapping[str, Score]
    """By metric."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChangedPicture:
    """A picture that a model answers otherwise than the reference."""

    name: str
    model: str
    difference: float
    """The larger, the worse."""
    facts: Mapping[str, float | str] = field(default_factory=dict)
    """For people: ``lost`` and ``new`` objects, or both answers and the label."""


@dataclass(frozen=True)
class DatasetResult:
    """A labelled data set and what each model scores on it."""

    name: str
    form: str
    """``COCO JSON``, ``YOLO text``, ``a folder a class``, ..."""
    task: str
    pictures: int
    metrics: tuple[str, ...]
    """The deciding one first."""
    decoding: str
    """How answers are read; numbers under different decodings cannot be compared."""
    rows: tuple[DatasetRow, ...]
    """The reference first."""
    changed: tuple[ChangedPicture, ...] = ()
    """Worst first; of every model but the reference."""
    notes: tuple[str, ...] = ()
