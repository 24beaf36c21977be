"""The reading of the output: a plain program's boxes, with each mistake planted and a control."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reading import BOXES, CELLS, PADDED, Net, Runs, answers, judged
from qdebug.run.store import load_run
from tests.conftest import ROOT
from tests.functional.conftest import Cli

DETECTOR = ROOT / "sample_models" / "detector"
MISTAKES = {**BOXES, **PADDED, **CELLS}
SCENES = sorted((ROOT / "sample_models" / "pictures" / "scenes").glob("scene_*.jpg"))


@pytest.fixture(scope="module")
def runs() -> Runs:
    pair = DETECTOR / "float.onnx", DETECTOR / "int8.onnx"
    spec = "letterbox 320 pad 114 | rgb | /255 | nchw"
    net = Net("detector", pair, spec, SCENES, "v8", (320, 320), MISTAKES)
    return Runs.of(net, np.random.default_rng(7))


@pytest.mark.parametrize("mistake", ["", *MISTAKES])
def test_a_mistake_is_named_and_a_control_is_not(runs: Runs, mistake: str, tmp_path: Path) -> None:
    outcome = runs.outcome(answers(runs, mistake, tmp_path))
    word = judged(outcome, runs.net, mistake)
    assert word in (("right",) if not mistake else ("named", "one of several", "not told"))


def test_a_board_that_finds_nothing(runs: Runs, tmp_path: Path) -> None:
    place = tmp_path / "none.json"
    place.write_text("[]", encoding="utf-8")
    assert runs.outcome(place).info.state == "nothing"


def test_compare_names_the_mistake(runs: Runs, tmp_path: Path, cli: Cli) -> None:
    place = answers(runs, "padding-left", tmp_path)
    pictures = [str(sample.picture) for sample in runs.samples]
    models = [str(model) for model in runs.net.models]
    out = tmp_path / "x.qdrun"
    result = cli("compare", *models, *pictures, "--predictions", str(place), "-o", str(out), "-q")
    assert result.code == 1
    run = load_run(out)
    assert run.verdict.gate == "output"
    assert run.reading is not None
    assert (run.reading.state, run.reading.basis) == ("explained", "quant")
    told = next(f for f in run.findings if f.slug == "reading-placing")
    assert told.status == "fail"
    assert "padding" in told.seen


def test_reading_check_does_it_alone(runs: Runs, tmp_path: Path, cli: Cli) -> None:
    pictures = [str(sample.picture) for sample in runs.samples]
    float_model, quant_model = (str(model) for model in runs.net.models)
    place = str(answers(runs, "class-shift", tmp_path))
    asked = ("reading", "check", float_model, *pictures, "--predictions", place)
    result = cli(*asked, "--quant", quant_model)
    assert result.code == 1
    assert "reading-classes" in result.out
    assert "shifted by +1" in result.out
    sound = str(answers(runs, "", tmp_path))
    report = cli("reading", "check", float_model, *pictures, "--predictions", sound, "--json", "-")
    assert report.code == 0
    content = json.loads(report.out)
    assert content["schema"] == "qdebug.reading/1"
    assert content["reading"]["state"] == "same"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("board.json", "{", "board.json"),
        ("board.json", '[{"image_id": "other.jpg"}]', "a result is not"),
        ("board.csv", "scene_1.jpg,a,b,c,d,e,f\n", "this is no box"),
    ],
)
def test_bad_answers_are_one_sentence(
    name: str, content: str, told: str, tmp_path: Path, cli: Cli
) -> None:
    place = tmp_path / name
    place.write_text(content, encoding="utf-8")
    model, picture = str(DETECTOR / "float.onnx"), str(SCENES[0])
    result = cli("reading", "check", model, picture, "--predictions", str(place))
    assert result.code == 2
    assert told in result.err
    assert "Traceback" not in result.err


def test_without_answers_or_pictures(tmp_path: Path, cli: Cli) -> None:
    model = str(DETECTOR / "float.onnx")
    result = cli("reading", "check", model, str(SCENES[0]))
    assert result.code == 2
    assert "--predictions" in result.err
    tensor = tmp_path / "x.npy"
    np.save(tensor, np.zeros((1, 3, 320, 320), np.float32))
    place = tmp_path / "board.json"
    place.write_text("[]", encoding="utf-8")
    result = cli("reading", "check", model, str(tensor), "--predictions", str(place))
    assert result.code == 2
    assert "is a tensor" in result.err
