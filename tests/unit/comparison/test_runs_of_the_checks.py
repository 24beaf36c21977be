"""How often the checks run the models: what a comparison costs beside its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import qdebug
from qdebug.analysis.operators import OperatorTest
from qdebug.analysis.what_if import SAMPLES, Change, WhatIf
from qdebug.analysis.what_if.simulation import Simulation
from qdebug.capture.deployed import DeployedOutputs
from qdebug.run.model import Run, Timing

ROOT = Path(__file__).resolve().parents[3] / "sample_models"
SPEC = "letterbox 320 pad 114 | rgb | /255 | nchw"


def _counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, counts: Counter[str]) -> None:
    real = getattr(kind, name)

    def counted(*given: Any, **named: Any) -> Any:
        counts[name] += 1
        return real(*given, **named)

    monkeypatch.setattr(kind, name, counted)


def _counts(monkeypatch: pytest.MonkeyPatch, twin: str, pictures: int) -> tuple[Counter[str], Run]:
    counts: Counter[str] = Counter()
    for kind, name in ((Simulation, "runner"), (Simulation, "_run_sample"), (OperatorTest, "_run")):
        _counted(monkeypatch, kind, name, counts)
    # The samples' own runs have its outputs.
    monkeypatch.setattr(Simulation, "_float_session", None)
    files = sorted((ROOT / "pictures" / "scenes").glob("scene_*.jpg"))[:pictures]
    models = ROOT / "detector" / "float.onnx", ROOT / "detector" / f"{twin}.onnx"
    asked: dict[str, Any] = {"preprocess": SPEC, "task": "none", "threads": 2}
    run = qdebug.compare(*models, list(map(str, files)), **asked)
    monkeypatch.undo()
    return counts, run


@pytest.mark.parametrize(("pictures", "runs"), [(1, 12), (6, 40)])
def test_the_checks_run_few_graphs(
    pictures: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the cuts of mixed ranges are begun before the first check.

    Of six samples not all of the first ones are run as deployed.
    """
    begun: list[tuple[Hashable, int]] = []
    real = WhatIf.begin

    def noted(runs: WhatIf, changes: Iterable[Change], count: int = SAMPLES) -> None:
        changes = list(changes)
        begun.extend((change.key, count) for change in changes)
        real(runs, changes, count)

    monkeypatch.setattr(WhatIf, "begin", noted)
    counts, run = _counts(monkeypatch, "int8_naive", pictures)
    assert counts["_run"] == 0  # every layer is the float one by its nodes
    assert 0 < counts["runner"] <= 14
    assert 0 < counts["_run_sample"] <= runs
    (found,) = [f for f in run.findings if f.slug == "mixed-range"]
    assert found.status == "fail"
    assert (Change(frozenset(found.layers)).key, SAMPLES) in begun


def test_answers_that_wait_for_their_sessions_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last sample's are taken after the layers are made."""
    files = sorted((ROOT / "pictures" / "scenes").glob("scene_*.jpg"))[:2]
    models = ROOT / "detector" / "float.onnx", ROOT / "detector" / "int8_naive.onnx"
    runs = []
    for ready in (True, False):
        monkeypatch.setattr(DeployedOutputs, "is_ready", ready)
        run = qdebug.compare(*models, list(map(str, files)), preprocess=SPEC)
        runs.append(replace(run, timing=Timing(0.0, 0.0, 0.0)))
    assert runs[0].outputs[0].deployed is not None
    assert repr(runs[0]) == repr(runs[1])
