"""How often the checks run the models: what a comparison costs beside its samples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import qdebug
from qdebug.analysis.operators import OperatorTest
from qdebug.analysis.what_if import WhatIf

ROOT = Path(__file__).resolve().parents[3] / "sample_models"
SPEC = "letterbox 320 pad 114 | rgb | /255 | nchw"


def _counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, counts: Counter[str]) -> None:
    real = getattr(kind, name)

    def counted(*given: Any, **named: Any) -> Any:
        counts[name] += 1
        return real(*given, **named)

    monkeypatch.setattr(kind, name, counted)


def _counts(monkeypatch: pytest.MonkeyPatch, twin: str, pictures: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for kind, name in ((WhatIf, "_tried"), (WhatIf, "_run_sample"), (OperatorTest, "_run")):
        _counted(monkeypatch, kind, name, counts)
    monkeypatch.setattr(WhatIf, "_float_session", None)  # the samples' own runs have its outputs
    files = sorted((ROOT / "pictures" / "scenes").glob("scene_*.jpg"))[:pictures]
    models = ROOT / "detector" / "float.onnx", ROOT / "detector" / f"{twin}.onnx"
    qdebug.compare(*models, list(map(str, files)), preprocess=SPEC, task="none")
    monkeypatch.undo()
    return counts


@pytest.mark.parametrize(("pictures", "runs"), [(1, 12), (3, 30)])
def test_the_checks_run_few_graphs(
    pictures: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = _counts(monkeypatch, "int8_naive", pictures)
    assert counts["_run"] == 0  # every layer is the float one by its nodes
    assert 0 < counts["_tried"] <= 14
    assert 0 < counts["_run_sample"] <= runs
