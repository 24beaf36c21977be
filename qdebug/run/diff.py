"""What changed between two runs: outputs, layers and findings; and what of it is a regression."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.run.matching import LayerMatch, MatchedBy, match_layers
from qdebug.run.model import (
    Finding,
    FindingStatus,
    Layer,
    Models,
    OutputResult,
    Run,
    State,
    Verdict,
)
from qdebug.vocabulary.states import BROKEN

SCHEMA = "qdebug.diff/1"

Change = Literal["worse", "better", "same", "new", "gone", "unknown"]
_RANK: Mapping[FindingStatus, int] = {
    "fail": 3, "error": 2, "warn": 2, "info": 1, "pass": 0, "not_applicable": 0,
}  # fmt: skip
_SAME_DB = 0.05
_SCALE_CHANGE = 1.05


@dataclass(frozen=True)
class DiffLimits:
    """What counts as a regression.

    Attributes:
        layer_db: a layer may lose this much accumulated SQNR.
        output_db: an output may lose this much accumulated SQNR.
        floor_db: what still has at least this SQNR has not regressed, whatever it lost.
    """

    layer_db: float = 3.0
    output_db: float = 1.0
    floor_db: float = 40.0


@dataclass(frozen=True)
class Levels:
    """A number in both runs; None where it was not measured."""

    old: float | None
    new: float | None

    @property
    def delta(self) -> float | None:
        """Gain, new minus old; equal infinities give 0; None where it is not defined."""
        if self.old is None or self.new is None or math.isnan(self.old) or math.isnan(self.new):
            return None
        return 0.0 if self.old == self.new else self.new - self.old

    @property
    def change(self) -> Change:
        """Direction of the change of a level in dB; less than 0.05 dB is the same."""
        delta = self.delta
        if delta is None:
            return "same" if self.old is None and self.new is None else "unknown"
        if abs(delta) < _SAME_DB:
            return "same"
        return "better" if delta > 0 else "worse"


@dataclass(frozen=True)
class LayerDiff:
    """One layer in both runs, or in one of them.

    Attributes:
        old: index in the old run; None for a layer that is new.
        new: index in the new run; None for a layer that is gone.
        name: in the new run where it is there.
        old_name: where the layer was renamed.
        settings: what changed in its quantization, one phrase each.
        regressed: whether it lost more than the limit, also on the board, or broke.
        board: SQNR of the simulation against the board, dB.
    """

    old: int | None
    new: int | None
    name: str
    old_name: str | None
    op: str
    matched_by: MatchedBy | None
    change: Change
    accumulated: Levels
    local: Levels
    sensitivity: Levels
    old_state: State | None
    new_state: State | None
    settings: tuple[str, ...]
    regressed: bool
    board: Levels = field(default=Levels(None, None))


@dataclass(frozen=True)
class OutputDiff:
    """One output in both runs, or in one of them.

    The worst channel is shown but never a regression: a channel that a few pictures hardly use
    moves by many dB for no reason.

    Attributes:
        accumulated: SQNR in dB, by which the output is judged.
        metrics: every metric of the accumulated error, by name.
    """

    name: str
    change: Change
    accumulated: Levels
    cosine: Levels
    worst_channel: Levels
    regressed: bool
    metrics: Mapping[str, Levels]


@dataclass(frozen=True)
class TaskDiff:
    """A number of the task in both runs; which direction is better depends on its name."""

    name: str
    old: float
    new: float


@dataclass(frozen=True)
class ScoreDiff:
    """A score on labelled data in both runs, or in one of them; None where it is not there.

    Never a regression: which model may lose how much is for ``evaluate``'s own limits to say.

    Attributes:
        data: name of the data set.
        model: file name of the model, where both runs have it.
        metric: more of it is better.
    """

    data: str
    model: str
    metric: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class FindingDiff:
    """One kind of finding in both runs, or in one of them."""

    id: str
    slug: str
    title: str
    change: Change
    old_status: FindingStatus | None
    new_status: FindingStatus | None
    regressed: bool


@dataclass(frozen=True)
class RunDiff:
    """The comparison of two runs.

    Attributes:
        caveats: why the numbers of the two runs may not be comparable, one sentence each.
        layers: in the order of the new run.
    """

    schema: str
    old_models: Models
    new_models: Models
    old_verdict: Verdict
    new_verdict: Verdict
    limits: DiffLimits
    caveats: tuple[str, ...]
    outputs: tuple[OutputDiff, ...]
    task: tuple[TaskDiff, ...]
    layers: tuple[LayerDiff, ...]
    findings: tuple[FindingDiff, ...]
    scores: tuple[ScoreDiff, ...] = ()

    @property
    def regressions(self) -> tuple[OutputDiff | LayerDiff | FindingDiff, ...]:
        """Everything that regressed: outputs, layers, findings."""
        everything: list[OutputDiff | LayerDiff | FindingDiff]
        everything = [*self.outputs, *self.layers, *self.findings]
        return tuple(item for item in everything if item.regressed)

    @property
    def exit_code(self) -> int:
        """1 when something regressed."""
        return int(bool(self.regressions))


def diff_runs(old: Run, new: Run, limits: DiffLimits | None = None) -> RunDiff:
    """Compare two runs, also of models whose layers were renamed."""
    limits = limits or DiffLimits()
    matches = match_layers(old.layers, new.layers)
    return RunDiff(
        schema=SCHEMA,
        old_models=old.models,
        new_models=new.models,
        old_verdict=old.verdict,
        new_verdict=new.verdict,
        limits=limits,
        caveats=_caveats(old, new),
        outputs=_output_diffs(old, new, limits),
        task=_task_diffs(old, new),
        layers=tuple(_layer_diff(old, new, match, limits) for match in matches),
        findings=_finding_diffs(old, new),
        scores=_score_diffs(old, new),
    )


def _caveats(old: Run, new: Run) -> tuple[str, ...]:
    notes = []
    old_samples = Counter(sample.sha256 for sample in old.samples)
    new_samples = Counter(sample.sha256 for sample in new.samples)
    if old_samples != new_samples:
        shared = (old_samples & new_samples).total()
        notes.append(
            f"the runs share {shared} of {len(old.samples)} and {len(new.samples)} samples"
        )
    if old.models.float.sha256 != new.models.float.sha256:
        notes.append("the float models differ")
    for side in ("float", "quant"):
        specs = [getattr(run.preprocess, side).spec for run in (old, new)]
        if specs[0] != specs[1]:
            notes.append(f"the {side} models were fed differently: {specs[0]}; now {specs[1]}")
    if (old.board is None) != (new.board is None):
        notes.append(f"only the {'new' if old.board is None else 'old'} run has a board")
    elif old.board is not None and new.board is not None and old.board.title != new.board.title:
        notes.append(f"the dumps are of two kinds: {old.board.title}; now {new.board.title}")
    notes += _data_caveats(old, new)
    if old.tool.onnxruntime != new.tool.onnxruntime:
        notes.append(f"onnxruntime {old.tool.onnxruntime}, now {new.tool.onnxruntime}")
    return tuple(notes)


def _data_caveats(old: Run, new: Run) -> list[str]:
    """Why scores on data sets of one name may not be comparable."""
    notes = []
    before = {result.name: result for result in old.datasets}
    for result in new.datasets:
        known = before.get(result.name, result)
        if known.pictures != result.pictures:
            notes.append(f"{result.name}: {known.pictures} pictures, now {result.pictures}")
        if known.decoding != result.decoding:
            notes.append(f"{result.name} was read as {known.decoding}; now {result.decoding}")
    return notes


def _output_diffs(old: Run, new: Run, limits: DiffLimits) -> tuple[OutputDiff, ...]:
    before = {output.name: output for output in old.outputs}
    after = {output.name: output for output in new.outputs}
    if len(before) == len(after) == 1:
        # The only output keeps its role under another name.
        before = dict(zip(after, before.values(), strict=True))
    diffs = []
    for name in dict.fromkeys((*after, *before)):
        left, right = before.get(name), after.get(name)
        metrics = _metric_levels(left, right)
        levels = metrics["sqnr_db"]
        broke = _broke(_state(left), _state(right))
        lost = _lost(levels, limits.output_db, limits.floor_db)
        diffs.append(
            OutputDiff(
                name=name,
                change=_presence(left, right) or ("worse" if broke else levels.change),
                accumulated=levels,
                cosine=metrics["cosine"],
                worst_channel=Levels(_worst_channel(left), _worst_channel(right)),
                regressed=broke or lost,
                metrics=metrics,
            )
        )
    return tuple(diffs)


def _metric_levels(old: OutputResult | None, new: OutputResult | None) -> dict[str, Levels]:
    """Every metric that one of the two has."""
    sides = [side.accumulated if side else None for side in (old, new)]
    levels = {
        name: Levels(*(getattr(side, name) if side else None for side in sides)) for name in METRICS
    }
    unknown = Levels(None, None)
    return {n: v for n, v in levels.items() if v != unknown or METRICS[n] in LEAD}


def _worst_channel(output: OutputResult | None) -> float | None:
    return output.worst_channel.sqnr_db if output and output.worst_channel else None


def _task_diffs(old: Run, new: Run) -> tuple[TaskDiff, ...]:
    """The numbers that both runs have of the same task, as simulated."""
    if old.task is None or new.task is None or old.task.kind != new.task.kind:
        return ()
    before, after = old.task.numbers, new.task.numbers
    names = [x for x in after if x in before and not x.startswith("deployed_")]
    return tuple(TaskDiff(name, before[name], after[name]) for name in names)


def _score_diffs(old: Run, new: Run) -> tuple[ScoreDiff, ...]:
    """Every score that one of the runs has; models are told by their names."""
    before, after = _scores(old), _scores(new)
    return tuple(
        ScoreDiff(*key, before.get(key), after.get(key)) for key in dict.fromkeys((*after, *before))
    )


def _scores(run: Run) -> dict[tuple[str, str, str], float]:
    return {
        (result.name, row.model, metric): row.scores[metric].value
        for result in run.datasets
        for row in result.rows
        for metric in result.metrics
    }


def _layer_diff(old: Run, new: Run, match: LayerMatch, limits: DiffLimits) -> LayerDiff:
    left = None if match.old is None else old.layers[match.old]
    right = None if match.new is None else new.layers[match.new]
    shown = right or left
    assert shown is not None, "a match names a layer of at least one run"
    accumulated = Levels(_accumulated(left), _accumulated(right))
    broke = _broke(_state(left), _state(right))
    board = Levels(_board(left), _board(right))
    lost = any(_lost(x, limits.layer_db, limits.floor_db) for x in (accumulated, board))
    return LayerDiff(
        old=left.index if left else None,
        new=right.index if right else None,
        name=shown.name,
        old_name=left.name if left and right and left.name != right.name else None,
        op=shown.op,
        matched_by=match.by,
        change=_presence(left, right) or ("worse" if broke else _change(accumulated, board)),
        accumulated=accumulated,
        local=Levels(_local(left), _local(right)),
        sensitivity=Levels(_sensitivity(left), _sensitivity(right)),
        old_state=_state(left),
        new_state=_state(right),
        settings=_settings(left, right) if left and right else (),
        regressed=broke or lost,
        board=board,
    )


def _change(accumulated: Levels, board: Levels) -> Change:
    """How the board changed where the simulation did not: a new build changes nothing else."""
    on_board = board.change
    if accumulated.change != "same" or on_board == "unknown":
        return accumulated.change
    return on_board


def _board(layer: Layer | None) -> float | None:
    part = layer.board.against_quant if layer and layer.board else None
    return part.sqnr_db if part else None


def _accumulated(item: Layer | OutputResult | None) -> float | None:
    return item.accumulated.sqnr_db if item and item.accumulated else None


def _local(layer: Layer | None) -> float | None:
    return layer.local.sqnr_db if layer and layer.local else None


def _sensitivity(layer: Layer | None) -> float | None:
    return layer.sensitivity.sqnr_db if layer and layer.sensitivity else None


def _state(item: Layer | OutputResult | None) -> State | None:
    return item.state if item else None


def _presence(old: object | None, new: object | None) -> Change | None:
    if old is None:
        return "new"
    return "gone" if new is None else None


def _broke(old: State | None, new: State | None) -> bool:
    return old is not None and new in BROKEN and old not in BROKEN


def _lost(levels: Levels, limit: float, floor: float) -> bool:
    delta = levels.delta
    return delta is not None and levels.new is not None and delta < -limit and levels.new < floor


def _settings(old: Layer, new: Layer) -> tuple[str, ...]:
    """What changed in how a layer is quantized."""
    kinds = (
        ("activations", _activation_kind(old), _activation_kind(new)),
        ("weights", _weight_kind(old), _weight_kind(new)),
    )
    changed = [f"{what} {before} → {after}" for what, before, after in kinds if before != after]
    spans = [_span(layer) for layer in (old, new)]
    if spans[0] and spans[1]:
        ratio = spans[1] / spans[0]
        if not 1 / _SCALE_CHANGE <= ratio <= _SCALE_CHANGE:
            changed.append(f"range {ratio:.3g} times as wide")
    return tuple(changed)


def _activation_kind(layer: Layer) -> str:
    return layer.quant.dtype if layer.quant else "float"


def _weight_kind(layer: Layer) -> str:
    if layer.weight is None:
        return "float"
    return f"{layer.weight.dtype} {'per channel' if layer.weight.per_channel else 'per tensor'}"


def _span(layer: Layer) -> float:
    found = layer.quant.range if layer.quant else None
    return found[1] - found[0] if found and math.isfinite(found[1] - found[0]) else 0.0


def _finding_diffs(old: Run, new: Run) -> tuple[FindingDiff, ...]:
    """By check: the most severe finding of each in both runs."""
    before, after = _worst_by_check(old), _worst_by_check(new)
    diffs = []
    for key in dict.fromkeys((*after, *before)):
        left, right = before.get(key), after.get(key)
        ranks = [_RANK[finding.status] if finding else 0 for finding in (left, right)]
        if ranks == [0, 0]:
            continue
        shown = right if right is not None and ranks[1] else left or right
        assert shown is not None, "the key comes from one of the two"
        diffs.append(
            FindingDiff(
                *key,
                title=shown.title,
                change=_finding_change(*ranks),
                old_status=left.status if left else None,
                new_status=right.status if right else None,
                regressed=ranks[1] == _RANK["fail"] > ranks[0],
            )
        )
    return tuple(sorted(diffs, key=_finding_rank))


def _finding_rank(diff: FindingDiff) -> tuple[bool, int, int]:
    """What regressed, then what was or is gravest."""
    ranks = [_RANK[status or "pass"] for status in (diff.old_status, diff.new_status)]
    return not diff.regressed, -max(ranks), -ranks[1]


def _worst_by_check(run: Run) -> dict[tuple[str, str], Finding]:
    worst: dict[tuple[str, str], Finding] = {}
    for finding in run.findings:
        key = finding.id, finding.slug
        if key not in worst or _RANK[finding.status] > _RANK[worst[key].status]:
            worst[key] = finding
    return worst


def _finding_change(old: int, new: int) -> Change:
    if old == 0:
        return "new"
    if new == 0:
        return "gone"
    return "same" if old == new else "worse" if new > old else "better"
