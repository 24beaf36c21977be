"""``qdebug evaluate``: the same numbers by every form, sharding and source, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdebug
from qdebug.comparison import sides
from qdebug.evaluation import models as models_of
from qdebug.run.dataset_scores import DatasetResult
from qdebug.run.model import Run
from qdebug.run.outcome import outcome_of
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support import labelled
from tests.support.running import run_tensors

evaluation = importlib.import_module("qdebug.evaluation.evaluate")  # its name is the function's

SPEC = "letterbox 320 pad 114 | rgb | /255 | nchw"
CLASSIFIER = (
    "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
)
MODELS = ("float.onnx", "int8.onnx", "int8_naive.onnx")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled.coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def scored(sample_models: Path, coco: Path) -> Run:
    models = [sample_models / "detector" / name for name in MODELS]
    return qdebug.evaluate(models, coco, preprocess=SPEC)


def _result(run: Run) -> DatasetResult:
    (result,) = run.datasets
    return result


def _values(run: Run) -> list[dict[str, float]]:
    return [{k: s.value for k, s in row.scores.items()} for row in _result(run).rows]


def test_the_table(scored: Run) -> None:
    result = _result(scored)
    assert (result.task, result.pictures, result.form) == ("detection", 8, "COCO JSON")
    assert "confidence 0.001, multi-label, class-wise NMS at IoU 0.6" in result.decoding
    reference, sound, naive = result.rows
    assert reference.scores["map50"].value > 0.8, "the sample detector finds what is drawn"
    assert reference.scores["map50"].difference is None
    assert sound.scores["map50_95"].kept == pytest.approx(1, abs=0.1)
    assert naive.scores["map50_95"].value == 0
    low, high = naive.scores["map50_95"].difference_interval or (0, 0)
    assert low <= naive.scores["map50_95"].difference <= high < 0  # type: ignore[operator]
    worst = result.changed[0]
    assert worst.model == "int8_naive.onnx"
    assert worst.facts["test"] == 0
    assert scored.verdict.status == "pass", "without a limit there is nothing to fail"


def test_yolo_text_and_shards_give_the_same(
    scored: Run, sample_models: Path, tmp_path: Path
) -> None:
    models = [sample_models / "detector" / name for name in (MODELS[0], MODELS[-1])]
    folder = labelled.yolo(tmp_path / "yolo")
    other = qdebug.evaluate(models, folder, preprocess=SPEC, workers=2, threads=1)
    wanted = [
        {k: pytest.approx(v, abs=1e-6) for k, v in row.items()}
        for row in (_values(scored)[0], _values(scored)[-1])
    ]
    assert _values(other) == wanted
    alone = qdebug.evaluate(models, folder, preprocess=SPEC, threads=1)
    assert _result(alone).rows == _result(other).rows
    assert _result(alone).changed == _result(other).changed


def test_a_board_s_predictions_stand_in_the_table(
    scored: Run, sample_models: Path, coco: Path, tmp_path: Path
) -> None:
    value = json.loads(coco.read_text(encoding="utf-8"))
    perfect = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": 0.9,
        }
        for a in value["annotations"]
    ]
    (tmp_path / "board.json").write_text(json.dumps(perfect), encoding="utf-8")
    run = qdebug.evaluate(
        [sample_models / "detector" / "float.onnx", tmp_path / "board.json"], coco, preprocess=SPEC
    )
    board = _result(run).rows[1]
    assert board.origin == "predictions"
    assert board.scores["map50_95"].value == pytest.approx(1.0)
    assert _values(run)[0] == _values(scored)[0]


def test_top1_is_that_of_a_direct_run(sample_models: Path, tmp_path: Path) -> None:
    folder = labelled.labels_csv(tmp_path)
    model = sample_models / "classifier" / "int8_clipped.onnx"
    run = qdebug.evaluate([model], folder, preprocess=CLASSIFIER)
    feeds = [_fed(folder / "images" / name) for name in labelled.truth("objects")]
    best = [int(run_tensors(model, {"input": x}, ["logits"])["logits"].argmax()) for x in feeds]
    wanted = [labelled.CLASSES.index(word) for word in labelled.truth("objects").values()]
    assert _values(run)[0]["top1"] == pytest.approx(np.mean(np.equal(best, wanted)))


def test_the_pipeline_is_inferred_from_the_first_pictures(
    sample_models: Path, tmp_path: Path
) -> None:
    folder = labelled.labels_csv(tmp_path)
    models = [sample_models / "classifier" / name for name in ("float.onnx", "int8.onnx")]
    run = qdebug.evaluate(models, folder)
    for side in (run.preprocess.float, run.preprocess.quant):
        assert side.origin == "inferred"
        assert "58.395" in side.spec
        assert any("RGB or BGR" in doubt for doubt in side.doubts)
    assert "doubtful in part" in outcome_of(run).sentence
    alone = qdebug.evaluate(models[:1], folder)  # no calibrated range, and classes decide nothing
    assert any("the normalization" in doubt for doubt in alone.preprocess.float.doubts)


def _fed(picture: Path) -> Any:
    import cv2

    decoded = cv2.imread(str(picture))
    assert decoded is not None
    image = cv2.resize(decoded, (96, 96), interpolation=cv2.INTER_LINEAR)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return (((image[:, :, ::-1] - mean) / std).astype(np.float32)).transpose(2, 0, 1)[None]


def test_command_writes_a_record_that_the_others_take(
    cli: Cli, sample_models: Path, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models = [str(sample_models / "detector" / name) for name in MODELS]
    made = cli(
        "evaluate", *models, "--data", str(coco), "-p", SPEC, "--changed", "worst.txt",
        "-o", "a.qdeval", "--max-drop", "0.2",
    )  # fmt: skip
    assert made.code == 1
    assert "int8_naive.onnx: map50_95 drops by" in made.out
    assert "letterbox 320" in made.out
    # Each model's worst are shown, and the list begins with the last model's.
    told = " ".join(made.out.split())
    changed = load_run(tmp_path / "a.qdeval").datasets[0].changed
    by_model = {name: [x.name for x in changed if x.model == name] for name in MODELS[1:]}
    assert by_model[MODELS[-1]]
    for name, pictures in by_model.items():
        if not pictures:
            continue
        assert f"{len(pictures)} picture" in told.partition("Changed")[2]
        assert f"in {name} {pictures[0]}:" in told
    assert told.startswith("FAIL int8_naive.onnx scores")
    assert "compare" in told.partition("Next")[2]
    assert "detector/int8_naive.onnx worst.txt --limit 10" in told.partition("Next")[2]
    assert "0 samples" not in told
    listed = (tmp_path / "worst.txt").read_text(encoding="utf-8").splitlines()
    assert Path(listed[0]).name == by_model[MODELS[-1]][0]
    assert all((tmp_path / line).is_file() for line in listed)
    again = cli("compare", *models[:2], "worst.txt", "-p", SPEC, "-o", "b.qdrun", "--limit", "1")
    assert again.code == 0
    for command in (
        ("show", "a.qdeval"),
        ("report", "a.qdeval", "-o", "a.html", "-o", "a.md"),
        ("report", "a.qdeval", "-o", "a.csv"),
        ("diff", "a.qdeval", "a.qdeval"),
    ):
        result = cli(*command)
        assert result.code in (0, 1), command
    assert "int8_naive.onnx: mAP 0.000 → 0.000" in result.out
    for form in ("a.html", "a.md"):
        assert "int8_naive.onnx" in (tmp_path / form).read_text(encoding="utf-8")
        assert "mAP50" in (tmp_path / form).read_text(encoding="utf-8")
    rows = list(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) >= 1
    json_run = cli("evaluate", *models[:1], "--data", str(coco), "-p", SPEC, "--json", "-",
                   "-o", "c.qdeval")  # fmt: skip
    assert json.loads(json_run.out)["datasets"][0]["rows"][0]["scores"]["map50"]["value"] > 0.8


def test_models_and_labels_are_read_once(
    cli: Cli, sample_models: Path, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noted(function: Any) -> Any:
        def call(path: Path, *rest: Any) -> Any:
            read.append(path.name)
            return function(path, *rest)

        return call

    for module in (evaluation, models_of, sides):
        monkeypatch.setattr(module, "load_graph", noted(module.load_graph))
    monkeypatch.setattr(evaluation, "read_dataset", noted(evaluation.read_dataset))
    models = [str(sample_models / "detector" / name) for name in MODELS]
    cli("evaluate", *models, "--data", str(coco), "-p", SPEC, "--limit", "2", "--threads", "1",
        "--changed", str(tmp_path / "worst.txt"), "-o", str(tmp_path / "a.qdeval"))  # fmt: skip
    assert read == [coco.name, "float.onnx"]


def test_a_data_set_named_by_a_url(sample_models: Path, coco: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    root = coco.parent
    for place in root.rglob("*"):
        if place.is_file():
            memory.pipe(f"/sets/coco/{place.relative_to(root).as_posix()}", place.read_bytes())
    model = sample_models / "detector/float.onnx"
    asked: dict[str, Any] = {"preprocess": SPEC, "threads": 1, "limit": 2}
    run = qdebug.evaluate([model], "memory://sets/coco", **asked)
    alone = qdebug.evaluate([model], coco, **asked)
    memory.store.clear()
    assert run.datasets[0].rows == alone.datasets[0].rows


def test_changed_pictures_of_a_url_cannot_be_listed(cli: Cli, sample_models: Path) -> None:
    model = str(sample_models / "detector/float.onnx")
    refused = cli("evaluate", model, "--data", "memory://sets/coco", "--changed", "w.txt")
    assert refused.code == 2
    assert "--changed lists files" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-under", "map=0.3"], "detection has no metric 'map'"),
        (["--data-format", "masks"], "has no folder of masks"),
        (["--images", "nowhere"], "nowhere is no folder"),
        (["--workers", "0"], "'0' is not a whole number from 1"),
        (["--confidence", "2"], "'2' is not a number from 0 to 1"),
    ],
)
def test_refused(
    arguments: list[str], said: str, cli: Cli, sample_models: Path, coco: Path, tmp_path: Path
) -> None:
    model = str(sample_models / "detector" / "float.onnx")
    output = tmp_path / "x.qdeval"
    data = str(coco.parent if "masks" in arguments else coco)
    refused = cli("evaluate", model, "--data", data, "-p", SPEC, "-o", str(output), *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert "hint:" in refused.err
    assert not output.exists()


def test_labels_of_another_network_are_refused(
    cli: Cli, sample_models: Path, coco: Path, tmp_path: Path
) -> None:
    model = str(sample_models / "classifier" / "float.onnx")
    wrong = cli("evaluate", model, "--data", str(coco), "-p", CLASSIFIER, "-o", str(tmp_path / "r"))
    assert wrong.code == 2
    assert "are none of" in wrong.err
    assert "--task" not in wrong.err
    folder = labelled.labels_csv(tmp_path / "set")
    text = (folder / "labels.csv").read_text(encoding="utf-8").replace(",7", ",12")
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    beyond = cli(
        "evaluate", model, "--data", str(folder), "-p", CLASSIFIER, "-o", str(tmp_path / "q")
    )
    assert beyond.code == 2
    assert "labels up to class 12, the head has 8 classes" in beyond.err


def test_board_json_of_other_pictures_is_refused(
    cli: Cli, sample_models: Path, coco: Path, tmp_path: Path
) -> None:
    rows = [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]
    (tmp_path / "board.json").write_text(json.dumps(rows), encoding="utf-8")
    found = cli("evaluate", str(tmp_path / "board.json"), "--data", str(coco),
                "-o", str(tmp_path / "r"))  # fmt: skip
    assert found.code == 2
    assert "none of its 1 image id is in instances.json" in found.err


def test_two_evaluations_are_equal_apart_from_timing(
    scored: Run, sample_models: Path, coco: Path
) -> None:
    models = [sample_models / "detector" / name for name in MODELS]
    again = qdebug.evaluate(models, coco, preprocess=SPEC)
    assert dataclasses.replace(again, timing=scored.timing) == scored


@pytest.mark.slow
def test_real_map_is_that_of_an_independent_script(zoo: Path) -> None:
    """The figures of the data set's README, made with another program."""
    spec = "letterbox 640 pad 114 cv2 linear | rgb | /255 | nchw"
    model = zoo / "yolov5n" / "float.onnx"
    [row] = _values(qdebug.evaluate([model], zoo / "coco_val128", preprocess=spec))
    found = [row[name] for name in ("map50_95", "map50", "map75")]
    assert found == pytest.approx((0.3393, 0.5228, 0.3703), abs=0.003)
