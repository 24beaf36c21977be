"""What models score on labelled data."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.reporters.scores import facts_of, headings, rows_of
from qdebug.run.dataset_scores import ChangedPicture, DatasetResult
from qdebug.run.model import Run
from qdebug.vocabulary.numbers import plural

_CHANGED = 5
_CHANGED_VERBOSE = 20


def section(run: Run, look: Look, verbose: bool) -> list[Text]:
    """A table for each data set; nothing where there is none."""
    lines: list[Text] = []
    for result in run.datasets:
        lines += _head(result, look)
        lines += _table(result, look)
        lines += _changes(result, look, _CHANGED_VERBOSE if verbose else _CHANGED)
        for note in (*result.notes, *(f"{r.model}: {n}" for r in result.rows for n in r.notes)):
            lines += look.hanging("Note    ", note, lead_style="dim")
    return lines


def _head(result: DatasetResult, look: Look) -> list[Text]:
    told = f"{result.name} ({result.form}), {plural(result.pictures, 'picture')}"
    lines = look.hanging("Data    ", told, lead_style="bold")
    return lines + look.hanging("Read as ", result.decoding, lead_style="dim")


def _table(result: DatasetResult, look: Look) -> list[Text]:
    heads = headings(result)
    table = [heads, *rows_of(result)]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    lines = []
    for number, row in enumerate(table):
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        style = "bold" if number == 0 else ""
        lines.append(look.line((look.safe("  ".join(cells).rstrip()), style)))
    return [look.line(""), *lines, look.line("")]


def _changes(result: DatasetResult, look: Look, most: int) -> list[Text]:
    if len(result.rows) < 2:
        return []
    if not result.changed:
        return look.hanging("Changed ", "no picture", lead_style="bold")
    pictures = len({item.name for item in result.changed})
    told = f"{plural(pictures, 'picture')} of {result.pictures}, worst first"
    lines = look.hanging("Changed ", told, lead_style="bold")
    for item in result.changed[:most]:
        lines += look.hanging("        ", _told(item, result.rows), breaks=False)
    return lines


def _told(item: ChangedPicture, rows: Sequence[object]) -> str:
    model = f" in {item.model}" if len(rows) > 2 else ""
    return f"{item.name}: {facts_of(item)}{model}"
