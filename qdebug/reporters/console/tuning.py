"""How the quant model was tuned: the verdict, the cures, the curve, the ways to choose ranges."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.run.model import Run
from qdebug.run.tuning import Cure, CurvePoint, Measured, MethodResult, Tuning
from qdebug.vocabulary.numbers import number, percent, plural

_MOST_UNITS = 6


def section(run: Run, look: Look, verbose: bool) -> list[Text]:
    """The section; nothing where the run is no tuning's record.

    Args:
        run: the record.
        look: the page.
        verbose: every point of the curve and every method.
    """
    tuning = run.tuning
    if tuning is None:
        return []
    styles = {"tuned": "bold green", "nothing-to-win": "bold green"}
    lead_style = styles.get(tuning.outcome, "bold red")
    lines = look.hanging("Tuned  ", tuning.verdict, lead_style=lead_style)
    lines += look.items("  ", _basis(tuning), lead_style="dim")
    for cure in tuning.cures:
        lines += _cure(cure, tuning, look)
    if tuning.curve:
        lines += [Text(""), *_curve(tuning, look, verbose)]
    if tuning.methods:
        lines += [Text(""), *_methods(tuning, look, verbose)]
    for note in tuning.notes:
        lines += look.hanging("  note  ", note, lead_style="dim")
    return lines


def _basis(tuning: Tuning) -> list[str]:
    told = [
        f"searched on {plural(tuning.searched, 'picture')}, decided on {tuning.held_out} held out",
        f"loss: {tuning.loss}",
        f"target {tuning.target}",
        f"{plural(len(tuning.tried), 'configuration')} tried",
    ]
    if tuning.stopped:
        told.append(f"stopped early: {tuning.stopped}")
    return told


def _cure(cure: Cure, tuning: Tuning, look: Look) -> list[Text]:
    mark, style = ("✓", "green") if cure.accepted else ("·", "dim")
    facts = [f"{cure.title}: {cure.measured_db:+.1f} dB measured"]
    if cure.predicted_db is not None:
        failed = "" if cure.is_foretold else " (the prediction failed)"
        facts[0] += f", {cure.predicted_db:+.1f} dB predicted{failed}"
    if cure.task_before is not None and cure.task_after is not None:
        facts.append(f"{tuning.task} {cure.task_before:.3f} -> {cure.task_after:.3f}")
    if cure.units:
        facts.append(f"{_names(cure.units)} ({percent(cure.macs)} of the MACs)")
    if not cure.float_equivalent and cure.accepted:
        facts.append("not float-equivalent: fits this quantized model only")
    if not cure.accepted:
        facts.append(f"refused: {cure.reason}")
    return look.items(f"  {mark} ", facts, lead_style=style)


def _names(units: tuple[str, ...]) -> str:
    shown = ", ".join(units[:_MOST_UNITS])
    more = len(units) - _MOST_UNITS
    return f"{shown} and {more} more" if more > 0 else shown


def _curve(tuning: Tuning, look: Look, verbose: bool) -> list[Text]:
    lines = look.hanging("", "Quality against units at more bits", style="bold")
    lines.append(look.line(("  added     MACs  predicted  measured", "dim"), _task_head(tuning)))
    points = tuning.curve if verbose else tuple(p for p in tuning.curve if p.order == "share")
    chosen = [p for p in tuning.curve if p.chosen and p not in points]
    for point in (*points, *chosen):
        lines.append(_point(point, look))
    return lines


def _task_head(tuning: Tuning) -> tuple[str, str]:
    return (f"  SQNR dB  {tuning.task}" if tuning.task else "  SQNR dB", "dim")


def _point(point: CurvePoint, look: Look) -> Text:
    mark = "*" if point.chosen else " "
    order = f"  by {point.order}" if point.order != "share" else ""
    row = (
        f"{mark} {point.added:5d}  {percent(point.macs):>7s}  {point.predicted:9.2e}  "
        f"{_measured(point.measured)}{order}"
    )
    return look.line((row, "bold" if point.chosen else ""))


def _measured(measured: Measured | None) -> str:
    if measured is None:
        return "-"
    task = "" if measured.task is None else f"  {measured.task:.3f}"
    return f"{measured.loss:8.2e}  {number(round(measured.sqnr_db, 1)):>7s}{task}"


def _methods(tuning: Tuning, look: Look, verbose: bool) -> list[Text]:
    shown = [m for m in tuning.methods if verbose or m.measured is not None]
    lines = look.hanging("", "Ways to choose ranges, by predicted loss", style="bold")
    head = "  method                predicted  measured"
    lines.append(look.line((head, "dim"), _task_head(tuning)))
    for method in sorted(shown, key=lambda m: m.predicted):
        lines.append(_method(method, look))
    return lines


def _method(method: MethodResult, look: Look) -> Text:
    mark = "*" if method.chosen else " "
    row = f"{mark} {method.method:20s}  {method.predicted:9.2e}  {_measured(method.measured)}"
    return look.line((row, "bold" if method.chosen else ""))
