"""What is known of how a board reads the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qdebug.run.reading_results import Misreading, ReadingInfo

__all__ = ["Misreading", "ReadingInfo", "ReadingOutcome"]


@dataclass(frozen=True)
class ReadingOutcome:
    """The board's answers beside qdebug's own.

    Attributes:
        info: for the run.
        certain: whether the task is known, so that a mistake may fail the run.
        settings: what the board's program seems to be set to, for people.
    """

    info: ReadingInfo
    certain: bool
    settings: Mapping[str, str] = field(default_factory=dict)
