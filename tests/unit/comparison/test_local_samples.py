"""Which samples local error is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qdebug import Run, compare
from qdebug.quantities import LOCAL_SAMPLES

SAMPLES = Path(__file__).parents[3] / "sample_models"
SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
FLOAT, QUANT = SAMPLES / "classifier/float.onnx", SAMPLES / "classifier/int8.onnx"
PICTURES = sorted((SAMPLES / "pictures/objects").glob("*.jpg"))[:7]
SPREAD = [PICTURES[at] for at in (0, 2, 4, 6)]


def run(pictures: Any, **options: Any) -> Run:
    return compare(FLOAT, QUANT, pictures, preprocess=SPEC, task="none", **options)


def test_a_few_spread_samples_are_enough_by_default() -> None:
    found, few = run(PICTURES), run(SPREAD)
    assert found.local_samples == few.local_samples == LOCAL_SAMPLES == len(SPREAD)
    assert [layer.local for layer in found.layers] == [layer.local for layer in few.layers]
    assert any(
        a.accumulated != b.accumulated for a, b in zip(found.layers, few.layers, strict=True)
    )
    assert f"{LOCAL_SAMPLES} of {len(PICTURES)} samples" in " ".join(found.notes)


def test_all_samples_where_asked_for() -> None:
    few, every = run(PICTURES), run(PICTURES, local="all")
    assert every.local_samples == len(PICTURES)
    assert [a.accumulated for a in every.layers] == [b.accumulated for b in few.layers]
    known = [a for a in every.layers if a.local is not None]
    assert known
    for layer in known:
        other = few.layers[layer.index].local
        assert other is not None
        # A property of the layer: three more pictures change it a little.
        assert other.sqnr_db == pytest.approx(layer.local.sqnr_db, abs=3)  # type: ignore[union-attr]
    assert [a.role for a in every.layers] == [b.role for b in few.layers]


def test_none_where_it_is_not_wanted() -> None:
    found = run(PICTURES[:2], local=False)
    assert found.local_samples is None
    assert all(layer.local is None for layer in found.layers)
