"""A search whose pictures other processes share: the same record, bit by bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import qdebug
from qdebug.comparison import tune as tuning
from qdebug.run.tuning import Tuning
from qdebug.sharding import files
from tests.support.graphs import SPEC
from tests.support.shards import Blind, Shards


def tune(shots: Path, name: str, **options: Any) -> tuple[Tuning, bytes]:
    """What the record keeps, the names of files aside, and the repaired model."""
    output = shots / f"{name}.onnx"
    asked = {"quant_model": shots / "quant.onnx", "preprocess": SPEC, "threads": 1, **options}
    run = qdebug.tune(shots / "float.onnx", shots / "shots", output, **asked)
    assert run.tuning is not None
    return dataclasses.replace(run.tuning, files={}), output.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_however_the_pictures_are_cut(
    shots: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tune(shots, "alone")
    assert alone[0].tried
    assert alone[0].methods
    monkeypatch.setattr(tuning, "choose_scheduler", lambda *_: Shards(count))
    assert tune(shots, "shared", workers=2) == alone


def test_two_processes_and_files_that_are_sent(
    shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tune(shots, "alone")
    assert tune(shots, "shared", workers=2) == alone
    blind = Blind()
    monkeypatch.setattr(tuning, "choose_scheduler", lambda *_: blind)
    assert tune(shots, "sent", workers=2) == alone
    # Once, not with each measurement, and the copies are gone.
    (sent,) = blind.sent
    assert {path.suffix for path in sent} == {".onnx", ".png"}
    assert len(sent) == len(set(sent))
    assert not files._KEPT
