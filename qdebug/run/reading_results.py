"""How a board reads the outputs, as a run holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReadingState = Literal["same", "explained", "not_identifiable", "unexplained", "nothing"]


@dataclass(frozen=True)
class Misreading:
    """One mistake in the reading of the output, or several of which one was made."""

    slug: str
    """Of the finding: ``reading-boxes``, ``reading-placing``, ..."""
    names: tuple[str, ...]
    """Of the mistake; several where these pictures do not tell them apart."""
    words: str
    """What was done, one phrase."""
    advice: str = ""
    numbers: tuple[tuple[str, float], ...] = ()
    """What was fitted: ``offset_x`` in pixels of the picture, ``shift`` of a class, ..."""
    remark: bool = False
    """Whether it is a setting rather than a mistake."""


@dataclass(frozen=True)
class ReadingInfo:
    """The board's final answers of a run, held against qdebug's decoding."""

    name: str
    """Of the predictions' file."""
    title: str
    """``COCO results``, ``YOLO text``, ``classes as CSV``, ..."""
    state: ReadingState
    basis: str = ""
    """The tensors whose decoding is nearest to the answers: ``board``, ``quant`` or ``float``."""
    pictures: int = 0
    answers: int = 0
    """Boxes, or pictures with an answer."""
    agreeing: int = 0
    """Of them, those that qdebug's own reading gives too."""
    explained: int = 0
    """Those that the reading with the mistakes named gives."""
    mistakes: tuple[Misreading, ...] = ()
    notes: tuple[str, ...] = ()
