"""A run keeps a few values of what failed, and of nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdebug
from qdebug.run.crops import CROPS_NPZ, read_crop
from qdebug.run.model import Run
from qdebug.run.store import load_run, tensor_file

SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"


@pytest.fixture
def compare(sample_models: Path, tmp_path: Path) -> Any:
    def run(float_model: str, quant_model: str) -> Run:
        folder, out = sample_models / "classifier", tmp_path / "a.qdrun"
        photos = [sample_models / "pictures" / "objects" / f"{n}.jpg" for n in ("cone", "leaf")]
        qdebug.compare(
            folder / float_model,
            folder / quant_model,
            photos,
            preprocess=SPEC,
            keep_tensors="all",
            output=out,
        )
        return load_run(out)

    return run


def test_the_crop_is_a_part_of_both_tensors(compare: Any) -> None:
    run: Run = compare("float_outlier_channel.onnx", "int8_outlier_channel.onnx")
    finding = next(f for f in run.findings if f.slug == "outlier-channel")
    layer = run.layers[finding.layers[0]]
    crop = layer.crop
    assert crop is not None
    assert crop.channel(layer.channel_axis) is not None
    sample = [s.name for s in run.samples].index(crop.sample)
    place = tuple(slice(a, a + n) for a, n in zip(crop.start, crop.size, strict=True))
    values = read_crop(run.files, layer.index)
    for side, found in (("float", values.float), ("quant", values.quant)):
        whole = run.files.array(tensor_file(side, layer.index, sample))  # type: ignore[arg-type]
        assert np.array_equal(whole[place].reshape(found.shape), found)
    assert not np.array_equal(values.float, values.quant)
    assert len(run.files.read(CROPS_NPZ)) < 200_000


def test_a_sound_pair_keeps_nothing(compare: Any) -> None:
    run: Run = compare("float.onnx", "int8.onnx")
    assert all(layer.crop is None for layer in run.layers)
    assert CROPS_NPZ not in run.files.names()
