"""The table of scores: every model against the first one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qdebug.datasets import Dataset
from qdebug.evaluation.intervals import Draws, draw
from qdebug.evaluation.scores import Scorer
from qdebug.run.dataset_scores import ChangedPicture, DatasetResult, DatasetRow, Score

Row = tuple[str, Any, Sequence[Any], tuple[str, ...]]
"""Name, origin, answers by picture, notes."""


def make_result(
    dataset: Dataset,
    scorer: Scorer,
    rows: Sequence[Row],
    reading: str,
    notes: tuple[str, ...],
    advance: Callable[[], None],
) -> DatasetResult:
    """Score every row.

    Args:
        dataset: the labels.
        scorer: of its task.
        rows: the reference first.
        reading: how answers are read.
        notes: about the data set.
        advance: called after each row.
    """
    scored: list[DatasetRow] = []
    reference: tuple[dict[str, float], Draws] | None = None
    for name, origin, answers, told in rows:
        values = scorer.scores(answers)
        draws = draw(scorer.resampled(answers), len(dataset.pictures))
        scores = {m: _score(m, values, draws, reference) for m in scorer.metrics}
        scored.append(DatasetRow(name, origin, scores, (*told, *scorer.notes(answers))))
        reference = reference or (values, draws)
        advance()
    return DatasetResult(
        name=dataset.name,
        form=dataset.form,
        task=dataset.task,
        pictures=len(dataset.pictures),
        metrics=tuple(scorer.metrics),
        decoding=reading,
        rows=tuple(scored),
        changed=tuple(_changed(dataset, scorer, rows)),
        notes=notes,
    )


def _score(
    metric: str,
    values: dict[str, float],
    draws: Draws,
    reference: tuple[dict[str, float], Draws] | None,
) -> Score:
    value = values[metric]
    if reference is None:
        return Score(value, draws.interval(metric))
    other, other_draws = reference
    return Score(
        value,
        draws.interval(metric),
        value / other[metric] if other[metric] else None,
        value - other[metric],
        draws.difference(other_draws, metric),
    )


def _changed(dataset: Dataset, scorer: Scorer, rows: Sequence[Row]) -> list[ChangedPicture]:
    """The pictures that some model answers otherwise than the reference, worst first."""
    found = []
    for name, _, answers, _ in rows[1:]:
        for at, picture in enumerate(dataset.pictures):
            change = scorer.change(picture, rows[0][2][at], answers[at])
            if change is not None:
                found.append(ChangedPicture(picture.name, name, *change))
    return sorted(found, key=lambda item: -item.difference)
