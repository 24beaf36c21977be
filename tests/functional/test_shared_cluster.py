"""A real Dask cluster that loses a worker on the way: the same numbers, bit by bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import qdebug
from qdebug.comparison import sample_work
from qdebug.comparison import tune as tuning
from tests.support.graphs import SPEC
from tests.support.shards import Deadly, two_dask_workers


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Dask's own processes complain when one of them is killed
def test_compare_and_tune_lose_a_worker(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = shots / "float.onnx", shots / "quant.onnx"

    def both(name: str, address: str | None) -> tuple[object, ...]:
        asked: dict[str, Any] = {"preprocess": SPEC, "threads": 1, "scheduler": address}
        run = qdebug.compare(*models, shots / "shots", **asked)
        output = shots / f"{name}.onnx"
        tuned = qdebug.tune(models[0], shots / "shots", output, quant_model=models[1], **asked)
        assert tuned.tuning is not None
        search = dataclasses.replace(tuned.tuning, files={})
        return run.layers, run.outputs, search, output.read_bytes()

    alone = both("alone", None)
    for module in (sample_work, tuning):
        mark = shots / f"{module.__name__}.died"
        monkeypatch.setattr(module, "choose_scheduler", lambda _, at, m=mark: Deadly(at, m))
    with two_dask_workers() as address:
        assert both("shared", address) == alone
    assert len(list(shots.glob("*.died"))) == 2
