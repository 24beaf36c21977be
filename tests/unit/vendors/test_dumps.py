"""Dumps as toolchains write them: which tensors, under which names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.board.names import map_names
from qdebug.errors import InputError, UsageError
from qdebug.graph.pairs import Pair
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


def test_rknn_names_a_swapped_operator_after_the_one_before_it(tmp_path: Path) -> None:
    """What is called reshape_sw holds the Sigmoid behind reshape, and is no layer's by its name."""
    names = ["conv", "reshape_sw", "transpose_sw_rs", "split-rs"]
    rows = "".join(f"{name}   {name}.txt\n" for name in names)
    dump = read_dump(_snapshot(tmp_path / "s", rows, *(f"{name}.txt" for name in names)))
    layers = ["conv", "reshape", "transpose", "split"]
    pairs = [Pair(name, name, name, (), None, "name") for name in layers]
    found, reasons = map_names(dump, pairs, ["", "", "", ""], ["Conv", "Reshape", "Transpose", ""])
    assert {item.tensor.name: layers[item.at] for item in found} == {
        "conv": "conv", "split-rs": "split"
    }  # fmt: skip
    assert set(reasons) == {"reshape_sw", "transpose_sw_rs"}
    assert all("swaps two operators" in why for why in reasons.values())


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


def test_qnn_takes_the_first_result_and_values_before_codes(tmp_path: Path) -> None:
    for result in ("Result_0", "Result_1", "Result_10"):
        (tmp_path / result).mkdir()
        np.ones(4, np.float32).tofile(tmp_path / result / "_a_b_Conv_output_0.raw")
    np.ones(4, np.uint8).tofile(tmp_path / "Result_0" / "_a_b_Conv_output_0_native.raw")
    np.ones(4, np.uint8).tofile(tmp_path / "Result_0" / "c_native.raw")
    dump = read_dump(tmp_path)
    assert dump.title == "QNN results, Result_0"
    assert [t.name for t in dump.tensors] == ["_a_b_Conv_output_0", "c_native"]
    assert dump.notes == ("the first of 3 inputs is read",)


def test_qnn_without_a_tensor(tmp_path: Path) -> None:
    (tmp_path / "Result_0").mkdir()
    with pytest.raises(InputError, match=r"no \.raw file is in Result_0"):
        read_dump(tmp_path)


def test_tidl_reads_shape_and_name_beside_the_values(tmp_path: Path) -> None:
    value = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    value.tofile(tmp_path / "tidl_trace0007_00001_00002_00004x00003_float.bin")
    value.astype(np.int8).tofile(tmp_path / "tidl_trace0007_00001_00002_00004x00003.y")
    value.astype(np.int16).tofile(tmp_path / "tidl_trace0009_00001_00002_00004x00003.y")
    (tmp_path / "net.layer_info.txt").write_text("0 7 /a/Conv_output_0\n", encoding="utf-8")
    dump = read_dump(tmp_path)
    held = {tensor.name: tensor for tensor in dump.tensors}
    assert held.keys() == {"/a/Conv_output_0", "data 9"}
    assert np.array_equal(held["/a/Conv_output_0"].read(), value)
    assert held["data 9"].read().dtype == np.int16


def test_tidl_checks_the_size(tmp_path: Path) -> None:
    np.zeros(5, np.int8).tofile(tmp_path / "tidl_trace0007_00001_00002_00004x00003.y")
    (tensor,) = read_dump(tmp_path).tensors
    with pytest.raises(InputError, match="5 bytes for 1x2x3x4 values"):
        tensor.read()


def test_axera_takes_the_first_input(tmp_path: Path) -> None:
    for number in ("0", "1"):
        (tmp_path / "sim_outputs" / number).mkdir(parents=True)
        np.zeros(4, np.float32).tofile(tmp_path / "sim_outputs" / number / "a_Conv.bin")
    dump = read_dump(tmp_path)
    assert (dump.title, [t.name for t in dump.tensors]) == ("Pulsar2 run", ["a_Conv"])
    assert dump.notes == ("the first of 2 inputs is read",)
    (tmp_path / "none" / "sim_outputs").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no tensor"):
        read_dump(tmp_path / "none")
