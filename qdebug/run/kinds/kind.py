"""What is known of one kind of finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from qdebug.run.model import (
    Confidence,
    Evidence,
    Finding,
    FindingStatus,
    Gate,
    Severity,
)

_TUNE = "`qdebug tune` tries this and proves it on pictures held out."
_SEVERITY: dict[FindingStatus, Severity] = {"fail": "error", "error": "error", "warn": "warning"}


class Family(Enum):
    """What a kind is about; the value is the heading it is listed under, in this order."""

    INPUT = "The input"
    GRAPH = "Pairing and graph"
    RANGES = "Ranges and scales"
    WEIGHTS = "Weights"
    NUMERICS = "Numerics and error"
    OUTPUT = "Reading of the output"
    BOARD = "The board"
    READING = "The board's reading of the output"
    QUALITY = "Quality of the run"


@dataclass(frozen=True)
class Kind:
    """One kind of finding: all that is the same in every finding of it.

    Attributes:
        id: stable identifier, for instance ``QD301``; unique.
        slug: its name for people and filters; unique.
        family: what it is about.
        gate: the gate at which it fails a run; None for the quality of the run itself.
        passed: title when nothing was found; empty where the check words it itself.
        title: title when something was found; empty where the check words it itself.
        advice: what to do, with the places that the check fills in (``str.format``); empty where
            the check words it itself.
        cause: rank among the causes, None for a kind that is none. Of two causes that name the
            same layers, the one with the lower rank says why. Ranks are unique; they are tens, so
            that a new kind fits between.
        symptom: it shows where an error is; a cause upstream of its layers says why.
        follows_input: a wrong input brings it about in a sound model, as it does every symptom.
        explains: a failing one makes every finding of these families meaningless.
        spoils_behind: findings of these families at its layers, or behind them, follow from it: the
            values there are others.
        of_constants: it is told by constants of the graphs alone, which no other value brings
            about: what spoils values behind it explains it at its own layers only.
        tuned: ``qdebug tune`` tries the advice, and measures what it wins.
        begins_with_worst: the first of its layers is the one that matters; a cause that names
            that one explains the finding.
    """

    id: str
    slug: str
    family: Family
    gate: Gate | None
    passed: str = ""
    title: str = ""
    advice: str = ""
    cause: int | None = None
    symptom: bool = False
    follows_input: bool = False
    explains: tuple[Family, ...] = ()
    spoils_behind: tuple[Family, ...] = ()
    begins_with_worst: bool = False
    of_constants: bool = False
    tuned: bool = False

    @property
    def is_effect(self) -> bool:
        """Whether it says how much of an error shows, not where the error enters."""
        return self.family in (Family.OUTPUT, Family.QUALITY)

    @property
    def page(self) -> str:
        """Its page, from the folder of the manual. Only qdebug's own kinds have one."""
        return f"findings/{self.slug}.md"

    def found(
        self,
        status: FindingStatus,
        title: str,
        seen: str,
        advice: str = "",
        *,
        layers: Iterable[int] = (),
        evidence: Iterable[Evidence] = (),
        gain_db: float | None = None,
        confidence: Confidence = "medium",
    ) -> Finding:
        """A finding of this kind; its severity follows from the status."""
        if self.tuned and advice and status in ("fail", "warn"):
            advice = f"{advice} {_TUNE}"
        return Finding(
            id=self.id,
            slug=self.slug,
            status=status,
            severity=_SEVERITY.get(status, "info"),
            title=title,
            seen=seen,
            advice=advice,
            gain_db=gain_db,
            confidence=confidence,
            layers=tuple(layers),
            evidence=tuple(evidence),
            gate=self.gate,
        )
