"""What is said of a tuning wherever it is shown: its basis, and the rows of its tables."""

from __future__ import annotations

from qdebug.run.tuning import Cure, Measured, MethodResult, Tuning
from qdebug.vocabulary.numbers import decibel, percent, plural

CURE_HEADINGS = ("cure", "predicted dB", "measured dB", "MACs", "tensors", "verdict")
"""The task's number follows, under its own name."""
METHOD_HEADINGS = ("method", "predicted", "measured", "SQNR dB", "task")
_MOST_UNITS = 6


def basis(tuning: Tuning) -> list[str]:
    """What the verdict rests on, one phrase each."""
    told = [
        f"searched on {plural(tuning.searched, 'picture')}, decided on {tuning.held_out} held out",
        f"loss: {tuning.loss}",
        f"target {tuning.target}",
        f"{plural(len(tuning.tried), 'configuration')} tried",
    ]
    if tuning.stopped:
        told.append(f"stopped early: {tuning.stopped}")
    return told


def cure_row(cure: Cure) -> list[str]:
    """The cells of ``CURE_HEADINGS``, and the task's number before and after."""
    task = ""
    if cure.task_before is not None and cure.task_after is not None:
        task = f"{cure.task_before:.3f} → {cure.task_after:.3f}"
    return [
        cure.title + ("" if cure.float_equivalent else " (not float-equivalent)"),
        "" if cure.predicted_db is None else f"{cure.predicted_db:+.1f}",
        f"{cure.measured_db:+.1f}",
        percent(cure.macs),
        unit_names(cure.units),
        ("accepted" if cure.accepted else f"refused: {cure.reason}")
        + ("" if cure.is_foretold else "; the prediction failed"),
        task,
    ]


def cure_facts(cure: Cure, task: str) -> list[str]:
    """A cure in words: what it wins, what it costs, and why it was refused."""
    facts = [f"{cure.title}: {cure.measured_db:+.1f} dB measured"]
    if cure.predicted_db is not None:
        failed = "" if cure.is_foretold else " (the prediction failed)"
        facts[0] += f", {cure.predicted_db:+.1f} dB predicted{failed}"
    if cure.task_before is not None and cure.task_after is not None:
        facts.append(f"{task} {cure.task_before:.3f} -> {cure.task_after:.3f}")
    if cure.units:
        facts.append(f"{unit_names(cure.units)} ({percent(cure.macs)} of the MACs)")
    if not cure.float_equivalent and cure.accepted:
        facts.append("not float-equivalent: fits this quantized model only")
    if not cure.accepted:
        facts.append(f"refused: {cure.reason}")
    return facts


def unit_names(units: tuple[str, ...]) -> str:
    """The first few, and how many more."""
    shown = ", ".join(units[:_MOST_UNITS])
    more = len(units) - _MOST_UNITS
    return f"{shown} and {more} more" if more > 0 else shown


def methods_shown(tuning: Tuning) -> list[MethodResult]:
    """The ways to choose ranges, best prediction first."""
    return sorted(tuning.methods, key=lambda method: method.predicted)


def method_row(method: MethodResult) -> list[str]:
    """The cells of ``METHOD_HEADINGS``."""
    name = f"{method.method} (chosen)" if method.chosen else method.method
    return [name, f"{method.predicted:.2e}", *measured_cells(method.measured)]


def measured_cells(measured: Measured | None) -> tuple[str, str, str]:
    """Loss, SQNR and task's number as a table shows them."""
    if measured is None:
        return "—", "—", "—"
    task = "—" if measured.task is None else f"{measured.task:.3f}"
    return f"{measured.loss:.2e}", decibel(measured.sqnr_db), task
