"""Two runs side by side: which layers, outputs and findings got better or worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qdebug.run.model import Finding, Layer, Run

Change = Literal["new", "gone", "worse", "better", "same"]

_RANK = {"fail": 3, "warn": 2, "error": 1, "info": 1}


@dataclass(frozen=True)
class LayerDiff:
    """One layer in both runs.

    Attributes:
        old: the layer in the old run, or None where it has no counterpart.
        new: the layer in the new run, or None.
        accumulated_db: new minus old accumulated SQNR, dB; None where one is missing or undefined.
        local_db: the same of the local SQNR.
    """

    old: Layer | None
    new: Layer | None
    accumulated_db: float | None
    local_db: float | None


@dataclass(frozen=True)
class FindingDiff:
    """A finding that is open in one of the runs at least."""

    slug: str
    change: Change
    old: Finding | None
    new: Finding | None


@dataclass(frozen=True)
class RunDiff:
    """What changed from an old run to a new one."""

    layers: tuple[LayerDiff, ...]
    findings: tuple[FindingDiff, ...]
    outputs: Mapping[str, tuple[float | None, float | None]]
    """Accumulated SQNR of each output in dB: old, new."""


def diff_runs(old: Run, new: Run) -> RunDiff:
    """Compare two runs; layers belong together by node name, else by tensor name."""
    return RunDiff(_layers(old, new), _findings(old, new), _outputs(old, new))


def _layers(old: Run, new: Run) -> tuple[LayerDiff, ...]:
    by_name = {layer.name: layer for layer in old.layers}
    by_tensor = {layer.float_tensor: layer for layer in old.layers}
    taken: set[int] = set()
    rows = []
    for layer in new.layers:
        before = by_name.get(layer.name) or by_tensor.get(layer.float_tensor)
        if before is not None and before.index in taken:
            before = None
        if before is not None:
            taken.add(before.index)
        rows.append(_layer_diff(before, layer))
    gone = (layer for layer in old.layers if layer.index not in taken)
    return (*rows, *(_layer_diff(layer, None) for layer in gone))


def _layer_diff(old: Layer | None, new: Layer | None) -> LayerDiff:
    parts = []
    for name in ("accumulated", "local"):
        before, after = getattr(old, name, None), getattr(new, name, None)
        parts.append(
            _difference(before.sqnr_db if before else None, after.sqnr_db if after else None)
        )
    return LayerDiff(old, new, parts[0], parts[1])


def _difference(old: float | None, new: float | None) -> float | None:
    """New minus old; two equal infinities differ by nothing."""
    if old is None or new is None or math.isnan(old) or math.isnan(new):
        return None
    return 0.0 if old == new else new - old


def _findings(old: Run, new: Run) -> tuple[FindingDiff, ...]:
    before, after = _open(old.findings), _open(new.findings)
    slugs = dict.fromkeys([*after, *before])
    rows = [
        FindingDiff(s, _change(before.get(s), after.get(s)), before.get(s), after.get(s))
        for s in slugs
    ]
    order = {"new": 0, "worse": 1, "same": 2, "better": 3, "gone": 4}
    return tuple(sorted(rows, key=lambda row: order[row.change]))


def _open(findings: Sequence[Finding]) -> dict[str, Finding]:
    """The first open finding of each slug: they are ranked, so it is the worst."""
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.status in _RANK:
            found.setdefault(finding.slug, finding)
    return found


def _change(old: Finding | None, new: Finding | None) -> Change:
    if old is None or new is None:
        return "new" if old is None else "gone"
    gap = _RANK[new.status] - _RANK[old.status]
    return "worse" if gap > 0 else "better" if gap < 0 else "same"


def _outputs(old: Run, new: Run) -> dict[str, tuple[float | None, float | None]]:
    sides = [
        {o.name: o.accumulated.sqnr_db if o.accumulated else None for o in run.outputs}
        for run in (old, new)
    ]
    names = dict.fromkeys([*sides[1], *sides[0]])
    return {name: (sides[0].get(name), sides[1].get(name)) for name in names}
