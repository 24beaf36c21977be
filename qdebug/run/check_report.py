"""What ``qdebug preprocess check --json`` and ``qdebug reading check --json`` write."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.run.model import Finding
from qdebug.run.reading_results import ReadingInfo

SCHEMA = "qdebug.check/1"
READING_SCHEMA = "qdebug.reading/1"


@dataclass(frozen=True)
class CheckReport:
    """One check of an input.

    Attributes:
        schema: ``qdebug.check/1``.
        recovered: the pipeline that made the fed tensor; None if none was found or asked for.
        reference: the pipeline that is right, as given or as a model implies it; None without.
        residual_codes: rms of what the recovered pipeline leaves unexplained, in pixel codes.
        output_sqnr_db: SQNR of the float model's worst output, fed tensor against the reference.
        findings: as in a run.
        origin: where ``reference`` comes from, as in a run; None without one.
        doubts: parts of an inferred ``reference`` that nothing decided, one phrase each.
    """

    schema: str
    recovered: str | None
    reference: str | None
    residual_codes: float | None
    output_sqnr_db: float | None
    findings: tuple[Finding, ...]
    origin: str | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadingReport:
    """One check of a board's answers.

    Attributes:
        schema: ``qdebug.reading/1``.
        reading: as in a run.
        findings: as in a run.
    """

    schema: str
    reading: ReadingInfo
    findings: tuple[Finding, ...]
