"""The record of an evaluation: a run with scores instead of layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qdebug.comparison.compare import peak_rss_mib
from qdebug.comparison.sides import Side, names_in
from qdebug.comparison.tool import tool_info
from qdebug.graph.describe import describe
from qdebug.options import EvaluateOptions
from qdebug.reading.decoding import Decoding
from qdebug.run.arrays import RunArrays
from qdebug.run.dataset_scores import DatasetResult, DatasetRow
from qdebug.run.mentioned import mentioned
from qdebug.run.model import (
    SCHEMA,
    Limit,
    ModelInfo,
    Models,
    Preprocess,
    PreprocessInfo,
    Run,
    Timing,
    UnpairedSides,
    Verdict,
)
from qdebug.run.store import MemoryWriter, RunWriter

DROP = "drop"
"""Suffix of the metric of ``--max-drop`` among the verdict's limits."""


@dataclass(frozen=True)
class Evaluated:
    """What was found.

    Attributes:
        result: the scores.
        sides: the models that were run.
        decoding: of boxes.
        paths: what was given, the reference first.
        classes: what the data set calls them.
    """

    result: DatasetResult
    sides: Sequence[Side]
    decoding: Decoding
    paths: Sequence[Path]
    classes: Sequence[str] = ()


def make_record(
    options: EvaluateOptions,
    evaluated: Evaluated,
    writer: RunWriter | MemoryWriter,
    seconds: float,
) -> Run:
    """Write the record and give it back."""
    infos = [describe(side.graph) for side in evaluated.sides]
    infos = infos or [_not_run(path) for path in evaluated.paths]
    pipelines = [side.preprocess for side in evaluated.sides]
    pipelines = pipelines or [PreprocessInfo("", "assumed", ("no model was run",))]
    run = Run(
        schema=SCHEMA,
        tool=tool_info((options.provider, options.provider)),
        command=tuple(options.command),
        models=Models(infos[0], infos[-1]),
        preprocess=Preprocess(pipelines[0], pipelines[-1]),
        samples=(),
        verdict=judge(evaluated.result, options.limits, options.max_drop),
        outputs=(),
        layers=(),
        unpaired=UnpairedSides(),
        findings=(),
        timing=Timing(seconds, math.nan, peak_rss_mib()),
        datasets=(evaluated.result,),
    )
    names = {name for side in evaluated.sides for name in names_in(side.graph)}
    spoken = (run.datasets, run.verdict, run.preprocess)
    run = dataclasses.replace(run, mentioned=mentioned(spoken, names.union(evaluated.classes)))
    return writer.commit(run, RunArrays())


def _not_run(path: Path) -> ModelInfo:
    return ModelInfo(path.name, "", 0, 0, "", "float", detail="predictions of another program")


def judge(result: DatasetResult, limits: Sequence[Limit], max_drop: float | None) -> Verdict:
    """The verdict on the scores: limits are the user's, there are no others.

    Args:
        result: the scores, the reference first.
        limits: what every model must reach; the reference too where it is alone.
        max_drop: how much of the first metric a model may lose against the reference.
    """
    first = result.metrics[0]
    used = list(limits)
    if max_drop is not None:
        used.append(Limit(f"{first}.{DROP}", max_drop, "max", "flag"))
    judged = result.rows[1:] or result.rows
    broken = [text for row in judged for text in _broken(row, limits, max_drop, first)]
    if broken:
        return Verdict("fail", "output", "; ".join(broken), tuple(used))
    unjudged = "" if used else ", and no limit was given (--fail-under, --max-drop)"
    return Verdict("pass", "output", f"{_summary(result)}{unjudged}", tuple(used))


def _broken(
    row: DatasetRow, limits: Sequence[Limit], max_drop: float | None, first: str
) -> list[str]:
    found = [
        f"{row.model}: {limit.metric} {row.scores[limit.metric].value:.3f} < {limit.value:g}"
        for limit in limits
        if limit.violated_by(row.scores[limit.metric].value)
    ]
    difference = row.scores[first].difference
    if max_drop is not None and difference is not None and -difference > max_drop:
        found.append(f"{row.model}: {first} drops by {-difference:.3f}, more than {max_drop:g}")
    return found


def _summary(result: DatasetResult) -> str:
    """The worst model in one phrase."""
    first = result.metrics[0]
    if len(result.rows) == 1:
        return f"{first} {result.rows[0].scores[first].value:.3f} on {result.pictures} pictures"
    worst = min(result.rows[1:], key=lambda row: row.scores[first].value)
    return (
        f"{worst.model}: {first} {worst.scores[first].value:.3f} of the reference's "
        f"{result.rows[0].scores[first].value:.3f} on {result.pictures} pictures"
    )
