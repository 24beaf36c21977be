"""The few values that a run keeps: stored, read again, and taken out."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdebug.errors import RunError
from qdebug.run.crops import CROPS_NPZ, Crop, CropValues, crops_to_bytes, read_crop
from qdebug.run.files import MemoryFiles
from qdebug.run.redact import redact
from qdebug.run.store import load_run, run_from_json, run_to_json
from tests.support import synthetic_run
from tests.support.synthetic_extras import with_crops

VALUES = {
    3: CropValues(np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)),
    12: CropValues(np.full((1, 4), 2, np.float32), np.full((1, 4), np.nan, np.float32)),
}


def test_values_come_back_and_bytes_are_equal() -> None:
    data = crops_to_bytes(VALUES)
    assert data == crops_to_bytes(dict(reversed(VALUES.items())))
    files = MemoryFiles({CROPS_NPZ: data})
    for at, values in VALUES.items():
        found = read_crop(files, at)
        assert np.array_equal(found.float, values.float)
        assert np.array_equal(found.quant, values.quant, equal_nan=True)


def test_a_run_without_crops_says_so() -> None:
    with pytest.raises(RunError, match="lacks the kept values of layer 3"):
        read_crop(MemoryFiles(), 3)


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        crops_to_bytes(VALUES)[:200],
        crops_to_bytes({4: VALUES[3]}),
        _npz(float_0003=np.zeros((2, 2), np.float32), quant_0003=np.zeros((2, 3), np.float32)),
        _npz(float_0003=np.zeros(4, np.float32), quant_0003=np.zeros(4, np.float32)),
        _npz(float_0003=np.zeros((0, 3), np.float32), quant_0003=np.zeros((0, 3), np.float32)),
        _npz(float_0003=np.zeros((2, 2), np.int8), quant_0003=np.zeros((2, 2), np.float32)),
        _npz(
            float_0003=np.zeros((300, 300), np.float32), quant_0003=np.zeros((300, 300), np.float32)
        ),
    ],
    ids=["empty", "cut", "another layer", "two shapes", "flat", "no values", "codes", "too many"],
)
def test_damage_is_one_sentence(data: bytes) -> None:
    with pytest.raises(RunError, match=r"crops\.npz is damaged"):
        read_crop(MemoryFiles({CROPS_NPZ: data}), 3)


def test_where_it_lies() -> None:
    image = Crop("a.png", (0, 7, 10, 20), (1, 1, 5, 5))
    assert image.channel(1) == 7
    assert image.rows_are_channels(1) is None
    assert (image.channel(None), image.channel(9)) == (None, None)
    table = Crop("a.png", (0, 0, 30), (1, 84, 48))
    assert (table.channel(1), table.rows_are_channels(1), table.rows_are_channels(2)) == (
        None,
        True,
        False,
    )


def test_it_is_part_of_the_json_and_absent_elsewhere() -> None:
    run = with_crops(synthetic_run(30, samples=2), 4)
    text = run_to_json(run)
    again = run_from_json(text)
    assert again.layers[4].crop == run.layers[4].crop
    assert text.count('"crop"') == 1


def test_an_older_run_has_none() -> None:
    folder = Path(__file__).parents[2] / "data" / "qdebug-0.1.0.qdrun.zip"
    assert all(layer.crop is None for layer in load_run(folder).layers)


@pytest.mark.parametrize("kind", ["images", "values"])
def test_redacting_takes_it_out(kind: str) -> None:
    """An early layer looks like the picture, so it goes with the pictures as well."""
    bare = redact(with_crops(synthetic_run(30, samples=2), 4), [kind])  # type: ignore[list-item]
    assert all(layer.crop is None for layer in bare.layers)
    assert CROPS_NPZ not in bare.files.names()
    with pytest.raises(RunError):
        bare.files.read(CROPS_NPZ)


def test_redacting_names_and_paths_keeps_it_without_the_sample_s_name() -> None:
    run = with_crops(synthetic_run(30, samples=2), 4)
    crop = run.layers[4].crop
    assert crop is not None
    secret = dataclasses.replace(run.samples[0], name="secret.png")
    layers = tuple(
        dataclasses.replace(x, crop=dataclasses.replace(x.crop, sample="secret.png"))
        if x.crop
        else x
        for x in run.layers
    )
    run = dataclasses.replace(run, samples=(secret, *run.samples[1:]), layers=layers)
    bare = redact(run, ["names", "paths"])
    assert "secret" not in run_to_json(bare)
    assert read_crop(bare.files, 4).float.shape == (8, 40)
