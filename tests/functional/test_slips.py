"""Slips of the command line: refused with one sentence and the command that was meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from qdebug.run.store import load_run
from tests.functional.conftest import Cli

SAMPLES = ("float.onnx", "int8.onnx", "int8_clipped.onnx", "float_other_run.onnx", "cone.jpg")


@pytest.fixture
def here(tmp_path: Path, sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in SAMPLES[:4]:
        shutil.copy(sample_models / "classifier" / name, tmp_path)
    shutil.copy(sample_models / "pictures" / "objects" / "cone.jpg", tmp_path)
    shutil.copy(tmp_path / "float.onnx", tmp_path / "again.onnx")
    shutil.copy(sample_models / "detector" / "int8.onnx", tmp_path / "detector.onnx")
    larger = onnx.load(str(tmp_path / "int8.onnx"))
    for side in larger.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 128
    onnx.save(larger, str(tmp_path / "larger.onnx"))
    for suffix in (".pt", ".tflite", ".rknn", ".bmodel", ".param", ".engine", ".hbm", ".om"):
        (tmp_path / f"model{suffix}").write_bytes(b"not a graph")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("float.onnx float.onnx cone.jpg", "are the same model", "FLOAT QUANT INPUT"),
        ("float.onnx again.onnx cone.jpg", "are the same model", "FLOAT QUANT INPUT"),
        (
            "int8.onnx float.onnx cone.jpg",
            "int8.onnx is quantized and float.onnx is not",
            "qdebug compare float.onnx int8.onnx cone.jpg",
        ),
        ("float.onnx float_other_run.onnx cone.jpg", "these are two float models", "--any-pair"),
        (
            "float.onnx detector.onnx cone.jpg",
            "detector.onnx was not made from float.onnx",
            "give the float model that detector.onnx was made from; --any-pair",
        ),
        ("float.onnx larger.onnx cone.jpg", "cannot be fed alike", "one input size"),
        ("int8.onnx int8_clipped.onnx cone.jpg", "these are two quantized models", "--any-pair"),
        (
            "cone.jpg float.onnx int8.onnx",
            "cone.jpg is a picture, not a model",
            "qdebug compare float.onnx int8.onnx cone.jpg",
        ),
        ("model.pt int8.onnx cone.jpg", "is a PyTorch file", "torch.onnx.export"),
        ("model.tflite int8.onnx cone.jpg", "is a TensorFlow Lite file", "tf2onnx"),
        ("float.onnx model.rknn cone.jpg", "is an RKNN file", "rknn.load_onnx"),
        ("float.onnx model.bmodel cone.jpg", "is a Sophgo file", "model_transform"),
        ("float.onnx model.param cone.jpg", "is an ncnn file", "pnnx or onnx2ncnn"),
        ("float.onnx model.engine cone.jpg", "is a TensorRT engine", "trtexec"),
        ("float.onnx model.hbm cone.jpg", "is a Horizon file", "calibrated_model.onnx"),
        ("float.onnx model.om cone.jpg", "is an Ascend offline model", "atc"),
    ],
)
def test_slip(words: str, said: str, hint: str, here: Path, cli: Cli) -> None:
    result = cli("compare", *words.split())
    assert result.code == 2
    assert said in result.err
    assert hint in result.err
    assert result.out == ""
    assert not list(here.glob("*.qdrun"))


def test_any_pair_compares_all_the_same(here: Path, cli: Cli) -> None:
    result = cli("compare", "float.onnx", "again.onnx", "cone.jpg", "--any-pair", "-o", "r.qdrun",
                 "-p", "resize 96x96 | rgb | /255 | nchw")  # fmt: skip
    assert result.code == 0
    assert load_run("r.qdrun").verdict.status == "pass"


def test_an_inferred_pipeline_says_so_and_convicts_nobody(here: Path, cli: Cli) -> None:
    result = cli("compare", "float.onnx", "int8.onnx", "cone.jpg", "-o", "r.qdrun", "-v")
    assert result.code == 0
    run = load_run("r.qdrun")
    assert run.preprocess.float.origin == "inferred"
    assert "58.395" in run.preprocess.float.spec
    assert any("RGB or BGR" in doubt for doubt in run.preprocess.float.doubts)
    assert "inferred" in result.out.splitlines()[0] + result.out
    assert "doubtful in part" in result.out
    assert not [f for f in run.findings if f.gate == "input" and f.status == "fail"]


def test_every_command_infers_as_compare_does(here: Path, cli: Cli) -> None:
    checked = cli("preprocess", "check", "cone.jpg", "--float", "float.onnx", "--quant",
                  "int8.onnx", "--json", "-")  # fmt: skip
    assert checked.code == 0
    report = json.loads(checked.out)
    assert report["origin"] == "inferred"
    assert any("RGB or BGR" in doubt for doubt in report["doubts"])
    part = cli("extract", "float.onnx", "int8.onnx", "#3", "cone.jpg", "-o", "part")
    assert part.code == 0
    alone = cli("preprocess", "check", "cone.jpg", "--float", "float.onnx")
    assert alone.code == 0
    assert "doubtful: the normalization: ImageNet's mean and std" in alone.out


def test_a_twin_is_not_calibrated_with_a_guess(here: Path, cli: Cli) -> None:
    twin = cli("quantize", "float.onnx", "-o", "twin.onnx", "--calibrate", "cone.jpg")
    assert twin.code == 2
    assert "calibration needs the pipeline; doubtful is the normalization" in twin.err
    assert '-p "resize 109' in twin.err
    tuned = cli("tune", "float.onnx", "cone.jpg", "-o", "tuned.onnx")
    assert tuned.code == 2
    assert "calibration needs the pipeline" in tuned.err
    assert not (here / "twin.onnx").exists()


def test_a_pipeline_that_nobody_gave_is_told(here: Path, cli: Cli) -> None:
    part = cli("extract", "float.onnx", "int8.onnx", "#3", "cone.jpg", "-o", "part")
    assert "the pipeline is inferred: resize 109" in part.out
    assert "doubtful: RGB or BGR" in part.out
    given = ("-p", "resize 96x96 | rgb | /255 | nchw")
    twin = cli("quantize", "float.onnx", "-o", "twin.onnx", "--calibrate", "cone.jpg", *given)
    assert twin.code == 0
    assert "the pipeline is" not in twin.out
