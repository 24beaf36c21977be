"""Dumps as toolchains write them: which tensors, under which names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.errors import InputError, UsageError
from qdebug.vendors.dumps import read_dump


def _npz(file: Path, *names: str) -> Path:
    with file.open("wb") as stream:
        np.savez(stream, **{name: np.zeros(3, np.float32) for name in names})  # type: ignore[arg-type]
    return file


def _snapshot(folder: Path, rows: str, *files: str) -> Path:
    (folder / "simulator").mkdir(parents=True)
    (folder / "map_name_to_file.txt").write_text(f"layer_name   file_name\n-----\n{rows}")
    for name in files:
        (folder / "simulator" / name).write_text("1.0\n-2.5\n")
    return folder


def test_tpu_mlir(tmp_path: Path) -> None:
    dump = read_dump(_npz(tmp_path / "a.npz", "x", "/a/b_Conv", "/a/b_Conv_f32", "c_Add"))
    assert dump.title == "TPU-MLIR npz"
    assert [tensor.name for tensor in dump.tensors] == ["x", "/a/b_Conv", "/a/b_Conv_f32", "c_Add"]


def test_an_npz_of_plain_names_is_plain(tmp_path: Path) -> None:
    assert read_dump(_npz(tmp_path / "a.npz", "x", "conv_out", "y")).title == "an .npz"


def test_rknn_names_what_is_fused(tmp_path: Path) -> None:
    rows = "a/b.1   a_b_1.txt\nfused   fused.txt\n"
    dump = read_dump(_snapshot(tmp_path / "s", rows, "a_b_1.txt"))
    assert dump.title == "RKNN snapshot, simulator"
    assert [(tensor.name, tensor.says) for tensor in dump.tensors] == [("a/b.1", "a/b.1")]
    assert dump.tensors[0].read().tolist() == [1.0, -2.5]
    assert dump.fused == {"fused"}


def test_a_map_leads_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("1.0\n")
    folder = _snapshot(tmp_path / "s", "a   ../../secret.txt\n")
    with pytest.raises(InputError, match=r"no file that map_name_to_file\.txt names"):
        read_dump(folder)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Conv.Conv_0.3.24.1682148256368588.output.0.npy", "Conv_0"),
        ("Conv.Conv_0.3.1682148256368588.npy", "Conv_0"),
        ("Add_100.0.1682148256368588.npy", "Add_100"),
        ("model.1.conv.0.1682148256368588.npy", "model.1.conv"),
    ],
)
def test_ascend(file: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / "dump" / file
    place.parent.mkdir()
    np.save(place, np.zeros(3, np.float32))
    dump = read_dump(tmp_path / "dump")
    assert [tensor.name for tensor in dump.tensors] == [name]


def test_a_toolchain_without_dumps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dumps of 'torchvision'"):
        read_dump(_npz(tmp_path / "a.npz", "x"), "torchvision")
