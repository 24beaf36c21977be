"""The table of scores on labelled data, as every reporter shows it."""

from __future__ import annotations

from qdebug.run.dataset_scores import ChangedPicture, DatasetResult, DatasetRow, Score
from qdebug.vocabulary.numbers import percent

NAMES = {
    "map50_95": "mAP",
    "map50": "mAP50",
    "map75": "mAP75",
    "top1": "top-1",
    "top5": "top-5",
    "exact": "exact",
    "norm_edit": "edit",
    "miou": "mIoU",
    "pixel_accuracy": "pixels",
}
"""Headings of the metrics."""


CHANGED_HEADINGS = ["picture", "model", "what changed"]


def changed_row(item: ChangedPicture) -> list[str]:
    """One picture of ``CHANGED_HEADINGS``."""
    return [item.name, item.model, facts_of(item)]


def facts_of(item: ChangedPicture) -> str:
    """What changed on a picture, in one phrase."""
    return ", ".join(f"{name} {_fact(value)}" for name, value in item.facts.items())


def _fact(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else repr(value)


def notes_of(result: DatasetResult) -> tuple[str, ...]:
    """About the data set, then about single models."""
    return (*result.notes, *(f"{row.model}: {n}" for row in result.rows for n in row.notes))


def headings(result: DatasetResult) -> list[str]:
    """Of the table's columns: the metrics, then the first one against the reference."""
    names = [NAMES.get(metric, metric) for metric in result.metrics]
    heads = ["model", *names]
    return heads if len(result.rows) == 1 else [*heads, "kept", "difference", "95 %"]


def rows_of(result: DatasetResult) -> list[list[str]]:
    """One row a model."""
    return [_row(result, row) for row in result.rows]


def _row(result: DatasetResult, row: DatasetRow) -> list[str]:
    cells = [row.model, *(f"{row.scores[metric].value:.3f}" for metric in result.metrics)]
    if len(result.rows) == 1:
        return cells
    return [*cells, *_against(row.scores[result.metrics[0]])]


def _against(score: Score) -> list[str]:
    if score.difference is None:
        return ["", "reference", ""]
    kept = "" if score.kept is None else percent(score.kept)
    return [kept, f"{score.difference:+.3f}", _interval(score.difference_interval)]


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:+.3f} .. {ends[1]:+.3f}"
