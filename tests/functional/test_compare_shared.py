"""A comparison whose samples other processes share: the same run, bit by bit."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import qdebug
from qdebug.comparison import sample_work
from qdebug.errors import InputError, UsageError
from qdebug.preprocess import Sample
from qdebug.run.arrays import RunArrays
from qdebug.run.model import Run
from tests.support.shards import Blind, Shards

ROOT = Path(__file__).parents[2] / "sample_models"
SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
FLOAT, QUANT = ROOT / "classifier/float.onnx", ROOT / "classifier/int8_clipped.onnx"
PICTURES = sorted((ROOT / "pictures/objects").glob("*.jpg"))[:7]


def compare(**options: Any) -> Run:
    asked = {"preprocess": SPEC, "ceiling": True, "threads": 1, "local": "all", **options}
    return qdebug.compare(FLOAT, QUANT, PICTURES, **asked)


@pytest.fixture(scope="module")
def alone() -> Run:
    return compare()


def assert_same(one: Run, other: Run) -> None:
    """All that was measured and found; times and notes of the memory plan aside."""
    left_out = {"timing", "notes", "files", "command"}
    for item in dataclasses.fields(Run):
        if item.name not in left_out:
            assert getattr(one, item.name) == getattr(other, item.name), item.name
    for item in dataclasses.fields(RunArrays):
        pair = getattr(one.arrays, item.name), getattr(other.arrays, item.name)
        np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_however_the_samples_are_cut(
    alone: Run, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_work, "choose_scheduler", lambda *_: Shards(count))
    assert_same(compare(workers=2), alone)


def test_two_processes() -> None:
    """A detector's boxes, kept tensors and lost objects, by real processes."""
    scenes = sorted((ROOT / "pictures/scenes").glob("scene_*.jpg"))[:2]
    models = ROOT / "detector/float.onnx", ROOT / "detector/int8_naive.onnx"
    spec = "letterbox 320 pad 114 | rgb | /255 | nchw"
    asked: dict[str, Any] = {"preprocess": spec, "threads": 1, "keep_tensors": "worst:2"}
    alone, shared = (qdebug.compare(*models, scenes, workers=n, **asked) for n in (1, 2))
    assert_same(shared, alone)


def test_files_that_workers_cannot_see_are_sent(
    alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in PICTURES]
    read: list[Path] = []
    moved = Sample.moved

    def noted(sample: Any, places: Any) -> Any:
        read.extend(places)
        return moved(sample, places)

    monkeypatch.setattr(Sample, "moved", noted)
    monkeypatch.setattr(sample_work, "choose_scheduler", lambda *_: Blind())
    found = qdebug.compare(
        FLOAT, QUANT, copies, preprocess=SPEC, ceiling=True, threads=1, local="all", workers=2
    )
    assert set(read) == set(copies)
    assert [x.accumulated for x in found.layers] == [x.accumulated for x in alone.layers]


def test_pictures_named_by_a_url(alone: Run) -> None:
    memory = fsspec.filesystem("memory")
    for path in PICTURES:
        memory.pipe(f"/shots/{path.name}", path.read_bytes())
    asked: dict[str, Any] = {"preprocess": SPEC, "ceiling": True, "threads": 1, "local": "all"}
    found = qdebug.compare(FLOAT, QUANT, "memory://shots", **asked)
    memory.store.clear()
    assert_same(found, alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"board": "dump.npz"}, "--workers and --board"),
        ({"keep_tensors": "all"}, "--workers and --keep-tensors all"),
    ],
)
def test_what_needs_one_process_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(workers=2, **options)


def test_a_broken_sample_in_a_worker_is_one_sentence(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(PICTURES[0].read_bytes()[:200])
    with pytest.raises(InputError, match=r"broken\.jpg"):
        qdebug.compare(FLOAT, QUANT, [*PICTURES[:3], broken], preprocess=SPEC, workers=2)
