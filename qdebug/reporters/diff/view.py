"""What a reader of a comparison should see first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from qdebug.metrics.entry import Metric
from qdebug.reporters.scores import NAMES
from qdebug.run.diff import (
    Change,
    FindingDiff,
    LayerDiff,
    Levels,
    OutputDiff,
    RunDiff,
    ScoreDiff,
    TaskDiff,
)
from qdebug.vocabulary.numbers import decibel, number, plural

MAX_LAYERS = 10
_WORDS: tuple[Change, ...] = ("worse", "better", "same", "new", "gone", "unknown")


@dataclass(frozen=True)
class DiffView:
    """The comparison, sorted.

    Attributes:
        headline: the answer in one phrase.
        counts: ``3 worse, 120 better, ...``.
        settings: changes in the quantization that several layers share, with their number.
        regressed: layers that regressed, largest loss first.
        improved: layers that gained most; by local error where both runs have it.
        structure: layers that are new or gone.
    """

    headline: str
    counts: str
    settings: tuple[tuple[str, int], ...]
    regressed: tuple[LayerDiff, ...]
    improved: tuple[LayerDiff, ...]
    structure: tuple[LayerDiff, ...]
    findings: tuple[FindingDiff, ...]
    outputs: tuple[OutputDiff, ...]
    task: tuple[TaskDiff, ...]
    scores: tuple[ScoreDiff, ...]


def view(diff: RunDiff) -> DiffView:
    """Sort a comparison for showing."""
    gained = [layer for layer in diff.layers if _gain(layer) > 0 and layer.change == "better"]
    return DiffView(
        headline=headline(diff),
        counts=_counts(diff.layers),
        settings=_settings(diff.layers),
        regressed=tuple(sorted((x for x in diff.layers if x.regressed), key=_gain)),
        improved=tuple(sorted(gained, key=lambda layer: -_gain(layer))),
        structure=tuple(layer for layer in diff.layers if layer.change in ("new", "gone")),
        findings=tuple(item for item in diff.findings if item.change != "same"),
        outputs=diff.outputs,
        task=tuple(item for item in diff.task if item.old != item.new),
        scores=diff.scores,
    )


def headline(diff: RunDiff) -> str:
    """What happened, in one phrase."""
    if diff.regressions:
        return f"{plural(len(diff.regressions), 'regression')}: {_kinds(diff)}"
    better = sum(output.change == "better" for output in diff.outputs)
    cured = [f.slug for f in diff.findings if f.old_status == "fail" and f.change != "same"]
    parts = ["no regression"]
    parts += [f"{', '.join(dict.fromkeys(cured))} no longer failed"] if cured else []
    parts += [f"{plural(better, 'output')} better"] if better else []
    failing = diff.old_verdict.status == diff.new_verdict.status == "fail"
    return "; ".join([*parts, *(["the verdict is still FAIL"] if failing else [])])


def task_text(item: TaskDiff) -> str:
    """``f1 0 → 0.94``; the sign of the change says nothing about better or worse."""
    return f"{item.name} {number(item.old)} → {number(item.new)}"


def score_text(item: ScoreDiff) -> str:
    """``val.json, int8.onnx: mAP 0.330 → 0.341``."""
    old, new = ("absent" if v is None else f"{v:.3f}" for v in (item.old, item.new))
    return f"{item.data}, {item.model}: {NAMES.get(item.metric, item.metric)} {old} → {new}"


def limits_text(diff: RunDiff) -> str:
    """The limits, for print."""
    limits = diff.limits
    return (
        f"a layer may lose {limits.layer_db:g} dB and an output {limits.output_db:g} dB; what "
        f"still has {limits.floor_db:g} dB has not regressed"
    )


def arrow(levels: Levels) -> str:
    """``30.1 → 12.0``."""
    return f"{decibel(levels.old)} → {decibel(levels.new)}"


def metric_arrow(metric: Metric, output: OutputDiff) -> str:
    """A metric of an output in both runs: ``0.9912 → 0.9998``."""
    levels = output.metrics[metric.name]
    return f"{metric.write(levels.old)} → {metric.write(levels.new)}"


def worst_channel_arrow(output: OutputDiff, sign: str = "→") -> str:
    """``≤ 0 → 21.0``; empty where neither run has channels.

    At 0 dB the error is as large as the channel's values. Below, nothing is left of them, and the
    number moves by chance: of two such numbers neither is better.
    """
    levels = output.worst_channel
    if levels == Levels(None, None):
        return ""
    return f" {sign} ".join(_clamped(value) for value in (levels.old, levels.new))


def _clamped(value: float | None) -> str:
    return "≤ 0" if value is not None and value <= 0 else decibel(value)


def signed(levels: Levels) -> str:
    """``+3.1``; nothing where it is not defined."""
    delta = levels.delta
    if delta is None:
        return ""
    return f"{'+' if delta > 0 else ''}{decibel(delta)}"


def _kinds(diff: RunDiff) -> str:
    counted = (
        (sum(item.regressed for item in diff.outputs), "output"),
        (sum(item.regressed for item in diff.layers), "layer"),
        (sum(item.regressed for item in diff.findings), "finding"),
    )
    return ", ".join(plural(count, noun) for count, noun in counted if count)


def _gain(layer: LayerDiff) -> float:
    """Gain in dB by local error where it is known, else by accumulated error; broken is least.

    Where both are the same it is the board that changed.
    """
    if layer.regressed and layer.new_state != "ok":
        return -math.inf
    if layer.board.delta and layer.accumulated.change == "same":
        return layer.board.delta
    for levels in (layer.local, layer.accumulated):
        delta = levels.delta
        if delta is not None:
            return delta
    return 0.0


def changes_of(layer: LayerDiff) -> tuple[str, ...]:
    """What changed besides the errors of the simulation, one phrase each."""
    if layer.board == Levels(None, None):
        return layer.settings
    return (*layer.settings, f"board {arrow(layer.board)} dB")


def _counts(layers: Iterable[LayerDiff]) -> str:
    layers = list(layers)
    counted = Counter(layer.change for layer in layers)
    parts = [f"{counted[word]} {word}" for word in _WORDS if counted[word]]
    renamed = sum(layer.old_name is not None for layer in layers)
    return ", ".join([*parts, *([f"{renamed} renamed"] if renamed else [])]) or "none"


def _settings(layers: Iterable[LayerDiff]) -> tuple[tuple[str, int], ...]:
    counted = Counter(setting for layer in layers for setting in layer.settings if "→" in setting)
    return tuple(counted.most_common(6))
