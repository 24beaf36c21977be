"""What bad input leads to: one sentence, a hint, exit code 2, and nothing left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdebug.run.store import RunWriter
from tests.functional.conftest import Cli
from tests.support import graphs
from tests.support.graphs import SPEC

PHOTO = ["photo_0.png", "-p", SPEC]


def _save(model: onnx.ModelProto, name: str) -> None:
    Path(name).write_bytes(model.SerializeToString())


def _truncated_model() -> None:
    Path("bad.onnx").write_bytes(Path("float.onnx").read_bytes()[:300])


def _text_model() -> None:
    Path("bad.onnx").write_text("this is no model", encoding="utf-8")


def _input_without_type() -> None:
    model = onnx.load("float.onnx")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    _save(model, "bad.onnx")


def _empty_model() -> None:
    Path("bad.onnx").write_bytes(b"")


def _missing_weights() -> None:
    onnx.save(
        graphs.float_model(),
        "bad.onnx",
        save_as_external_data=True,
        location="bad.weights",
        size_threshold=0,
    )
    Path("bad.weights").unlink()


def _weights_outside() -> None:
    model = graphs.float_model()
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret.weights"
    _save(model, "bad.onnx")


def _custom_op() -> None:
    model = graphs.float_model()
    model.graph.node[1].op_type, model.graph.node[1].domain = "Mystery", "com.vendor"
    model.opset_import.append(helper.make_opsetid("com.vendor", 1))
    _save(model, "bad.onnx")


def _per_channel_under_opset_12() -> None:
    model = graphs.qdq_model()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 12))
    next(n for n in model.graph.node if n.name == "w1_DQ").attribute.append(
        helper.make_attribute("axis", 0)
    )
    _save(model, "bad.onnx")


def _unrelated_model() -> None:
    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 16, 16])
    out = helper.make_tensor_value_info("n", TensorProto.INT64, [4])
    graph = helper.make_graph([helper.make_node("Shape", ["images"], ["n"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    _save(model, "bad.onnx")


def _truncated_picture() -> None:
    Path("bad.png").write_bytes(Path("photo_0.png").read_bytes()[:120])


def _tensor_of_another_shape() -> None:
    np.save("bad.npy", np.zeros((1, 3, 8, 8), np.float32))


def _tensor_with_nan() -> None:
    value = np.zeros((1, 3, 16, 16), np.float32)
    value[0, 1, 2, 3] = np.nan
    np.save("bad.npy", value)


def _pickled_tensor() -> None:
    np.save("bad.npy", np.array([{}], dtype=object))


def _raw_tensor() -> None:
    Path("bad.bin").write_bytes(bytes(100))


def _empty_folder() -> None:
    Path("bad").mkdir()


def _nothing() -> None:
    """Nothing to prepare."""


FLOAT_SIDE = ["bad.onnx", "quant.onnx", *PHOTO]
QUANT_SIDE = ["float.onnx", "bad.onnx", *PHOTO]
MODELS = ["float.onnx", "quant.onnx"]
NPY = [*MODELS, "bad.npy"]

BAD = {
    "missing model": (_nothing, FLOAT_SIDE, "bad.onnx does not exist", "path"),
    "missing quant model": (_nothing, QUANT_SIDE, "bad.onnx does not exist", "path"),
    "folder for a model": (_empty_folder, ["bad", *QUANT_SIDE[1:]], "bad is a folder", ".onnx"),
    "truncated model": (_truncated_model, FLOAT_SIDE, "not a complete ONNX model", "truncated"),
    "text for a model": (_text_model, QUANT_SIDE, "not a complete ONNX model", "format"),
    "empty model": (_empty_model, FLOAT_SIDE, "bad.onnx is empty", "again"),
    "weights missing": (_missing_weights, FLOAT_SIDE, "'bad.weights', which is missing", "copy"),
    "weights outside": (_weights_outside, FLOAT_SIDE, "outside its own folder", "save it again"),
    "custom op": (
        _custom_op,
        [*QUANT_SIDE, "--any-pair"],
        "com.vendor:Mystery",
        "custom operators",
    ),
    "axis under opset 12": (_per_channel_under_opset_12, QUANT_SIDE, "opset 12", "opset 13"),
    "missing picture": (_nothing, [*MODELS, "bad.png"], "bad.png does not exist", "path"),
    "empty glob": (_nothing, [*MODELS, "bad*.png"], "nothing matches 'bad*.png'", "pictures"),
    "truncated picture": (_truncated_picture, [*MODELS, "bad.png", "-p", SPEC], "bad.png", "again"),
    "a model for a picture": (_nothing, [*MODELS, "float.onnx"], "not a picture", "PNG or JPEG"),
    "empty folder": (_empty_folder, [*MODELS, "bad"], "folder bad has no picture", "empty"),
    "input without type": (
        _input_without_type,
        ["bad.onnx", "quant.onnx", "photo_0.png", "-p", SPEC],
        "'images'",
        "export",
    ),
    "shape": (_tensor_of_another_shape, NPY, "[1, 3, 8, 8]", "16x16"),
    "NaN": (_tensor_with_nan, NPY, "1 NaN values for input 'images'", "NaN"),
    "pickle": (_pickled_tensor, NPY, "bad.npy is damaged or no tensor file", "numpy.save"),
    "raw size": (
        _raw_tensor,
        [*MODELS, "bad.bin", "--shape", "1,3,16,16", "--dtype", "float32"],
        "bad.bin has 100 bytes",
        "cut off",
    ),
    "spec": (_nothing, [*MODELS, "photo_0.png", "-p", "resiz 16x16"], "'resiz'", "'resize'"),
    "spec of another size": (
        _nothing,
        [*MODELS, "photo_0.png", "-p", "resize 8x8 | rgb | /255 | nchw"],
        "[1, 3, 8, 8]",
        "16x16",
    ),
    "spec file": (_nothing, [*MODELS, "photo_0.png", "-p", "no.toml"], "no.toml cannot", "a spec"),
    "input name": (_nothing, [*MODELS, "pixels=photo_0.png"], "pixels", "images"),
    "provider": (_nothing, [*MODELS, *PHOTO, "--provider", "abacus"], "abacus", "cpu"),
    "output in use": (_nothing, [*MODELS, *PHOTO, "-o", "quant.onnx"], "not a qdebug run", "-o"),
    "json in use": (_nothing, [*MODELS, *PHOTO, "--json", "float.onnx"], "exists", "--force"),
    "json to a folder": (_nothing, [*MODELS, *PHOTO, "--json", "."], "is a folder", "a file"),
    "html in use": (_nothing, [*MODELS, *PHOTO, "--html", "float.onnx"], "exists", "--force"),
    "browse and json": (_nothing, [*MODELS, *PHOTO, "--browse", "--json", "-"], "both", "FILE"),
    "config": (
        _nothing,
        [*MODELS, *PHOTO, "--config", "no.toml"],
        "no.toml is not a file",
        "qdebug.toml",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input(here: Path, cli: Cli, case: str) -> None:
    prepare, arguments, message, hint = BAD[case]
    prepare()
    before = sorted(here.iterdir())
    result = cli("compare", *arguments)
    assert result.code == 2
    assert result.out == ""
    lines = result.err.splitlines()
    assert lines[0].startswith("qdebug: error: ")
    assert message in lines[0]
    assert not lines[0].endswith(".")
    assert len(lines) == 2
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]
    assert sorted(here.iterdir()) == before


def test_unrelated_models_get_no_verdict(here: Path, cli: Cli) -> None:
    _unrelated_model()
    result = cli("compare", *QUANT_SIDE, "--any-pair")
    assert result.code == 2
    assert "counterpart" in result.out + result.err
    assert "PASS" not in result.out


def test_bad_settings(here: Path, cli: Cli) -> None:
    (here / "qdebug.toml").write_text("limt = 3\n", encoding="utf-8")
    result = cli("compare", *MODELS, *PHOTO)
    assert result.code == 2
    assert result.err == (
        "qdebug: error: qdebug.toml: there is no key 'limt'\nhint: did you mean 'limit'\n"
    )


def test_a_bad_spec_in_the_settings(here: Path, cli: Cli) -> None:
    (here / "qdebug.toml").write_text('preprocess = "resiz 16x16"\n', encoding="utf-8")
    result = cli("compare", *MODELS, "photo_0.png")
    assert result.code == 2
    assert result.err.startswith("qdebug: error: qdebug.toml: preprocess: 'resiz'")


def _fail_with(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("code", "hint"),
    [(errno.ENOSPC, "free some space or choose another -o"), (errno.EACCES, "choose another -o")],
)
def test_a_disk_that_cannot_be_written_leaves_nothing(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    before = sorted(here.iterdir())
    monkeypatch.setattr(RunWriter, "add", _fail_with(code))
    result = cli("compare", *MODELS, *PHOTO)
    assert result.code == 2
    assert result.err.splitlines()[0] == (
        f"qdebug: error: cannot write quant.qdrun: {os.strerror(code)}"
    )
    assert result.err.splitlines()[1].endswith(f"hint: {hint}")
    assert sorted(here.iterdir()) == before


def test_an_unwritable_place(here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", _fail_with(errno.EACCES))
    result = cli("compare", *MODELS, *PHOTO, "-o", "sub/a.qdrun")
    assert result.code == 2
    assert os.strerror(errno.EACCES) in result.err
    assert "internal error" not in result.err


def test_a_run_that_is_none(here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    for name, message in (
        ("missing.qdrun", "missing.qdrun does not exist"),
        ("empty", "empty is not a qdebug run"),
        ("photo_0.png", "photo_0.png is not a readable zip"),
    ):
        result = cli("show", name)
        assert result.code == 2
        assert message in result.err


@pytest.mark.parametrize("rows", [(0, 3, 16, 16), (0,)])
def test_a_tensor_file_without_rows(here: Path, cli: Cli, rows: tuple[int, ...]) -> None:
    np.save("empty.npy", np.zeros(rows, np.float32))
    done = cli("compare", "float.onnx", "quant.onnx", "empty.npy")
    assert done.code == 2
    assert "internal error" not in done.err
    assert done.err.splitlines()[-1].startswith("hint: ")


def test_more_threads_than_a_count_can_hold(here: Path, cli: Cli) -> None:
    done = cli("compare", "float.onnx", "quant.onnx", *PHOTO, "--threads", "9" * 30)
    assert done.code == 2
    assert "is more than 1024" in done.err
