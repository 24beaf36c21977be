"""What models score on labelled data."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.reporters.scores import facts_of, headings, notes_of, rows_of
from qdebug.run.dataset_scores import DatasetResult
from qdebug.run.model import Run
from qdebug.vocabulary.numbers import plural

_CHANGED = 5
_CHANGED_VERBOSE = 20
_EACH = 2
"""Pictures of each model, where there are several."""


def section(run: Run, look: Look, verbose: bool) -> list[Text]:
    """A table for each data set; nothing where there is none."""
    lines: list[Text] = []
    for result in run.datasets:
        lines += _head(result, look)
        lines += _table(result, look)
        lines += _changes(result, look, _CHANGED_VERBOSE if verbose else _CHANGED)
        for note in notes_of(result):
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
    by_model = [[x for x in result.changed if x.model == row.model] for row in result.rows[1:]]
    for changed in filter(None, by_model):
        if len(by_model) > 1:
            count = f"{plural(len(changed), 'picture')} in {changed[0].model}"
            lines += look.hanging("        ", count, breaks=False)
        for item in changed[: max(_EACH, most // len(by_model))]:
            told = f"{item.name}: {facts_of(item)}"
            lines += look.hanging("        " + "  " * (len(by_model) > 1), told, breaks=False)
    return lines
