"""Runtimes that are run here as boards: ncnn and LiteRT."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

import qdebug
from qdebug.run.model import Finding, Run
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support.litert_models import conv_relu_conv
from tests.support.running import run_tensors

Array = npt.NDArray[Any]
SHAPE = (1, 3, 16, 16)


def weights(scale: float = 1.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(4)
    first = rng.normal(0, scale, (8, 3, 3, 3)).astype(np.float32)
    return first, rng.normal(0, 1 / scale, (4, 8, 1, 1)).astype(np.float32)


def float_model(file: Path, scale: float = 1.0) -> Path:
    """Conv, Relu, Conv."""
    first, second = weights(scale)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["y"], name="second"),
    ]
    held = [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [info("x", onnx.TensorProto.FLOAT, SHAPE)],
        [info("y", onnx.TensorProto.FLOAT, (1, 4, 16, 16))],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(file))
    return file


def ncnn_model(folder: Path, scale: float = 1.0, half: bool = False) -> Path:
    """The same as pnnx writes it, weights as float32 or float16."""
    param = folder / "net.param"
    lines = [
        "7767517",
        "4 4",
        "Input in0 0 1 in0",
        "Convolution conv_0 1 1 in0 1 0=8 1=3 4=1 5=0 6=216",
        "ReLU relu_1 1 1 1 2",
        "Convolution conv_2 1 1 2 out0 0=4 1=1 5=0 6=32",
    ]
    param.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with param.with_suffix(".bin").open("wb") as stream:
        for value in weights(scale):
            stream.write(struct.pack("<I", 0x01306B47 if half else 0))
            with np.errstate(over="ignore"):
                stream.write(value.astype(np.float16 if half else np.float32).tobytes())
    return param


def tensor(folder: Path) -> Path:
    file = folder / "x.npy"
    np.save(file, np.random.default_rng(5).normal(size=SHAPE).astype(np.float32))
    return file


def alone(cli: Cli, folder: Path, model: Path, board: Path) -> tuple[Run, dict[str, Finding]]:
    out = folder / "x.qdrun"
    result = cli("compare", str(model), "--board", str(board), str(tensor(folder)), "-o", str(out))
    assert result.code in (0, 1), result.err
    run = load_run(out)
    return run, {f.slug: f for f in run.findings if f.slug.startswith("board-")}


def test_a_float_net_of_ncnn_agrees(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("ncnn")
    model = float_model(tmp_path / "float.onnx")
    run, found = alone(cli, tmp_path, model, ncnn_model(tmp_path))
    assert run.board is not None
    assert run.board.title == "ncnn, run here, float"
    assert run.board.mapped >= 3
    assert found["board-layer"].status == "pass"
    assert found["board-drift"].status == "info"
    assert "no quantized model" in " ".join(run.notes)


@pytest.mark.parametrize("runtime", ["ncnn", "litert"])
def test_every_input_is_run(runtime: str, tmp_path: Path) -> None:
    """Each sample is held against the runtime's own tensors of it."""
    model = float_model(tmp_path / "float.onnx")
    if runtime == "ncnn":
        pytest.importorskip("ncnn")
        board = ncnn_model(tmp_path)
    else:
        board = conv_relu_conv(tmp_path / "net.tflite", weights(), SHAPE)
    rng = np.random.default_rng(6)
    shots = [tmp_path / f"{number}.npy" for number in range(3)]
    for shot in shots:
        np.save(shot, rng.normal(size=SHAPE).astype(np.float32))
    run = qdebug.compare(model, model, shots, board=board, board_again=board)
    assert run.board is not None
    assert (run.board.name, run.board.samples) == (board.name, 3)
    assert [dump.matched_by for dump in run.board.dumps] == ["run"] * 3
    assert [Path(dump.sample).stem for dump in run.board.dumps] == ["0", "1", "2"]
    last = run.layers[-1].board
    assert last is not None
    assert last.against_float is not None
    assert last.against_float.sqnr_db > 100
    status = {f.slug: f.status for f in run.findings}
    assert (status["board-layer"], status["board-unstable"]) == ("pass", "pass")


def test_weights_that_float16_cannot_hold(tmp_path: Path, cli: Cli) -> None:
    """pnnx stores float16 unless told not to: weights of 1e-7 lose all their digits."""
    pytest.importorskip("ncnn")
    model = float_model(tmp_path / "float.onnx", 1e-7)
    run, found = alone(cli, tmp_path, model, ncnn_model(tmp_path, 1e-7, half=True))
    assert run.board is not None
    assert "float16" in " ".join(run.board.notes)
    raised = {slug for slug, f in found.items() if f.status in ("fail", "warn")}
    assert raised & {"board-layer", "board-build", "board-drift"}


def test_a_float_net_of_litert_agrees(tmp_path: Path, cli: Cli) -> None:
    model = float_model(tmp_path / "float.onnx")
    board = conv_relu_conv(tmp_path / "net.tflite", weights(), SHAPE)
    run, found = alone(cli, tmp_path, model, board)
    assert run.board is not None
    assert run.board.title == "LiteRT, run here"
    told = {x.float_tensor: x.board for x in run.layers if x.board is not None}
    assert [told[name].tensor for name in "xaby"] == list("xaby")
    assert told["y"].layout == "NHWC"
    assert told["y"].against_float is not None
    assert told["y"].against_float.sqnr_db > 100
    assert found["board-layer"].status == "pass"


def int8_grids(folder: Path, model: Path) -> list[tuple[float, int]]:
    """Of x, a, b and y, from the float model's own values."""
    fed = np.load(tensor(folder))
    values = run_tensors(onnx.load(str(model)), {"x": fed}, {"a", "b", "y"})
    scales = [float(np.abs(v).max()) / 127 for v in (fed, values["a"], values["b"], values["y"])]
    return [(scales[0], 0), (scales[1], 0), (scales[1], 0), (scales[3], 0)]


@pytest.mark.parametrize("is_wrong", [False, True])
def test_an_int8_net_of_litert(is_wrong: bool, tmp_path: Path, cli: Cli) -> None:
    """Codes are read with the scales of the file; a layer with other weights is named."""
    model = float_model(tmp_path / "float.onnx")
    grids = int8_grids(tmp_path, model)
    first, second = weights()
    held = first, np.roll(second, 1, 0) if is_wrong else second
    board = conv_relu_conv(tmp_path / "net.tflite", held, SHAPE, grids)
    run, found = alone(cli, tmp_path, model, board)
    told = {x.float_tensor: x.board for x in run.layers if x.board is not None}
    assert told["a"].scale_from == "dump"
    assert told["a"].scale == pytest.approx(grids[1][0])
    assert found["board-layer"].status == ("warn" if is_wrong else "pass")
    if is_wrong:
        assert run.layers[found["board-layer"].layers[0]].name == "second"
    else:
        assert told["y"].against_float is not None
        assert told["y"].against_float.sqnr_db > 25


@pytest.mark.parametrize("name", ["net.param", "net.tflite"])
def test_a_model_that_cannot_be_run(name: str, tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("ncnn" if name.endswith("param") else "ai_edge_litert")
    model = float_model(tmp_path / "float.onnx")
    place = tmp_path / name
    place.write_bytes(b"7767517\n" if name.endswith("param") else b"\0\0\0\0TFL3" + b"\0" * 64)
    result = cli("compare", str(model), "--board", str(place), str(tensor(tmp_path)))
    assert result.code == 2
    assert name.partition(".")[0] in result.err
    assert "Traceback" not in result.err


def test_without_an_input(tmp_path: Path, cli: Cli) -> None:
    model = str(float_model(tmp_path / "float.onnx"))
    result = cli("compare", model, model)
    assert result.code == 2
    assert "required: INPUT" in result.err
