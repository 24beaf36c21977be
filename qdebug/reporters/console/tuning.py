"""How the quant model was tuned: the verdict, the cures, the curve, the ways to choose ranges."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.reporters.tuning import basis, cure_facts, methods_shown
from qdebug.run.model import Run
from qdebug.run.tuning import Cure, CurvePoint, Measured, MethodResult, Tuning
from qdebug.vocabulary.numbers import number, percent


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
    lines += look.items("  ", basis(tuning), lead_style="dim")
    for cure in tuning.cures:
        lines += _cure(cure, tuning, look)
    if tuning.curve:
        lines += [Text(""), *_curve(tuning, look, verbose)]
    if tuning.methods:
        lines += [Text(""), *_methods(tuning, look, verbose)]
    for note in tuning.notes:
        lines += look.hanging("  note  ", note, lead_style="dim")
    return lines


def _cure(cure: Cure, tuning: Tuning, look: Look) -> list[Text]:
    mark, style = ("✓", "green") if cure.accepted else ("·", "dim")
    return look.items(f"  {mark} ", cure_facts(cure, tuning.task), lead_style=style)


def _curve(tuning: Tuning, look: Look, verbose: bool) -> list[Text]:
    lines = look.hanging("", "Quality against units at more bits", style="bold")
    lines.append(
        look.line(("  added     MACs  converts  predicted  measured", "dim"), _task_head(tuning))
    )
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
        f"{mark} {point.added:5d}  {percent(point.macs):>7s}  {point.converts:8d}  "
        f"{point.predicted:9.2e}  "
        f"{_measured(point.measured)}{order}"
    )
    return look.line((row, "bold" if point.chosen else ""))


def _measured(measured: Measured | None) -> str:
    if measured is None:
        return "-"
    task = "" if measured.task is None else f"  {measured.task:.3f}"
    return f"{measured.loss:8.2e}  {number(round(measured.sqnr_db, 1)):>7s}{task}"


def _methods(tuning: Tuning, look: Look, verbose: bool) -> list[Text]:
    shown = [m for m in methods_shown(tuning) if verbose or m.measured is not None]
    lines = look.hanging("", "Ways to choose ranges, by predicted loss", style="bold")
    width = max((len(m.method) for m in shown), default=0)
    head = f"  {'method':{width}s}  predicted  measured"
    lines.append(look.line((head, "dim"), _task_head(tuning)))
    for method in shown:
        lines.append(_method(method, width, look))
    return lines


def _method(method: MethodResult, width: int, look: Look) -> Text:
    mark = "*" if method.chosen else " "
    row = f"{mark} {method.method:{width}s}  {method.predicted:9.2e}  {_measured(method.measured)}"
    return look.line((row, "bold" if method.chosen else ""))
