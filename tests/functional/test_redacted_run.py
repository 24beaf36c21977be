"""A real run, made with names and paths like no other, tells none of them once it is redacted."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from qdebug.cli.compare import portable
from qdebug.run.redact import KINDS, redact
from qdebug.run.store import load_run, run_to_json
from tests.functional.conftest import Cli
from tests.support import dumps, graphs, pictures

MARK = "zqx"
"""Stands in every name and folder that the runs here are made of, and in no word of qdebug's."""
TASK = """
def zqx_measure(reference, test):
    return {"zqx_error": 0.25}
"""


def _renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the mark in every name it has."""
    graph = model.graph
    for node in graph.node:
        node.name = f"{MARK}_node_{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"{MARK}/{name}" for name in names]
    for item in (*graph.initializer, *graph.input, *graph.output):
        item.name = f"{MARK}/{item.name}"
    graph.name = f"{MARK} net"
    model.producer_name, model.producer_version = f"{MARK}Tool", "7"
    classes = {0: f"{MARK}cat", 1: f"{MARK} traffic light", 2: f"{MARK}dog", 3: f"{MARK}cow"}
    onnx.helper.set_model_props(model, {"names": str(classes), "author": f"{MARK} works"})
    return model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that a comparison can be given, all of marked names."""
    folder = tmp_path / f"{MARK}_client" / f"{MARK}_project"
    folder.mkdir(parents=True)
    for name, model in (("float", graphs.float_model()), ("int8", graphs.qdq_model())):
        (folder / f"{MARK}_{name}.onnx").write_bytes(_renamed(model).SerializeToString())
    for number in range(3):
        picture = Image.fromarray(pictures.scene(number))
        picture.save(folder / f"{MARK}_shot_{number}.png")
    (folder / f"{MARK}_conf.toml").write_text('[limits]\n"cosine" = 0.999999\n')
    (folder / f"{MARK}_task.py").write_text(TASK)
    (folder / f"{MARK}_spec.toml").write_text(f'spec = "{graphs.SPEC}"\n')
    monkeypatch.chdir(tmp_path)
    return folder


def _compared(place: Path, cli: Cli, *options: str) -> Path:
    shots = sorted(map(str, place.glob("*.png")))
    models = [str(place / f"{MARK}_{name}.onnx") for name in ("float", "int8")]
    output = place / f"{MARK}.qdrun"
    done = cli("compare", *models, *shots, "-q", "-o", str(output), "--force", *options)
    assert output.is_dir(), done.err
    return output


def _texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, keys too, with where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield place, key
            yield from _texts(item, f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, f"{place}[]")


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("task", ["auto", "function"])
def test_nothing_it_was_made_of_is_told(place: Path, cli: Cli, task: str, structured: bool) -> None:
    options = ["-p", graphs.SPEC, "--config", str(place / f"{MARK}_conf.toml")]
    if task == "function":
        options += ["--task", f"{place / f'{MARK}_task.py'}:{MARK}_measure"]
    output = _compared(place, cli, *options)
    told = json.loads((output / "run.json").read_text())
    assert any(MARK in text for where, text in _texts(told) if where.startswith(".findings"))
    bare = run_to_json(redact(load_run(output), KINDS, structured=structured))
    assert [(where, text) for where, text in _texts(json.loads(bare)) if MARK in text] == []


def test_a_node_without_a_layer_is_known_to_be_a_name(place: Path, cli: Cli) -> None:
    run = load_run(_compared(place, cli, "-p", graphs.SPEC))
    assert run.mentioned is not None
    assert set(run.mentioned).isdisjoint({layer.name for layer in run.layers})
    risk = next(f for f in run.findings if f.slug == "int16-saturation-risk" and f.evidence)
    assert any(MARK in row[0] for row in risk.evidence[0].data["rows"])
    old = dataclasses.replace(run, mentioned=None)
    rows = redact(old, ["names"]).findings[run.findings.index(risk)].evidence[0].data["rows"]
    assert not any(MARK in row[0] for row in rows)


def test_no_folder_of_this_machine_stands_in_a_run(place: Path, cli: Cli) -> None:
    shutil.copy(place / f"{MARK}_spec.toml", place / "spec.toml")
    output = _compared(
        place, cli, "-p", str(place / "spec.toml"),
        "--task", f"{place / f'{MARK}_task.py'}:{MARK}_measure",
        "--config", str(place / f"{MARK}_conf.toml"),
        f"--html={place / 'page.html'}",
    )  # fmt: skip
    told = json.loads((output / "run.json").read_text())
    folders = (f"{MARK}_client", f"{MARK}_project", str(place.parent.parent))
    assert [item for item in _texts(told) if any(name in item[1] for name in folders)] == []


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/a/b/net.onnx", "net.onnx"),
        ("-o/a/b/run", "-orun"),
        ("--json=/a/b/r.json", "--json=r.json"),
        ("--input=images=/a/b/x.npy", "--input=images=x.npy"),
        ("images=/a/b/x.npy", "images=x.npy"),
        ("openvino:/a/b/net", "openvino:net"),
        ("-popenvino:/a/b/net", "-popenvino:net"),
        ("/a/b/own.py:f1", "own.py:f1"),
        ("letterbox 640 | /255 | nchw", "letterbox 640 | /255 | nchw"),
        ("/255 | nchw", "/255 | nchw"),
        ("shots/a.png", "shots/a.png"),
        ("-o", "-o"),
        ("s3://shots/day/a.png", "s3://a.png"),
        ("--data=https://me:secret@host/set.json?token=1", "--data=https://set.json"),
    ],
)
def test_an_absolute_path_keeps_its_last_part(word: str, kept: str) -> None:
    assert portable([word]) == (kept,)


def _leaks(record: Path, structured: bool) -> list[tuple[str, str]]:
    """What a redacted record still tells, after making sure that it had something to tell."""
    told = json.loads((record / "run.json").read_text())
    assert any(MARK in text for _, text in _texts(told))
    bare = run_to_json(redact(load_run(record), KINDS, structured=structured))
    return [(where, text) for where, text in _texts(json.loads(bare)) if MARK in text]


@pytest.mark.parametrize("structured", [False, True])
def test_a_board_s_dump_tells_nothing(place: Path, cli: Cli, structured: bool) -> None:
    float_model, int8 = (place / f"{MARK}_{name}.onnx" for name in ("float", "int8"))
    dump = dumps.simulated(float_model, int8, place / f"{MARK}_shot_0.png", graphs.SPEC)
    broken = next(name for name, value in dump.items() if value.ndim == 4 and "t1" in name)
    dump[broken] = dump[broken][:, ::-1]
    dump[f"{MARK}_board_only"] = np.ones((3, 5), np.float32)
    board = dumps.write_npz(dump, place / f"{MARK}_dump.npz")
    output = _compared(place, cli, "-p", graphs.SPEC, "--board", str(board))
    told = json.loads((output / "run.json").read_text())
    assert [w for w, text in _texts(told) if MARK in text and w.startswith(".board.unmapped")]
    assert _leaks(output, structured) == []


@pytest.mark.parametrize("structured", [False, True])
def test_scores_on_a_data_set_tell_nothing(place: Path, cli: Cli, structured: bool) -> None:
    data = place / f"{MARK}_data"
    for number, name in enumerate((f"{MARK}cat", f"{MARK} traffic light", f"{MARK}dog")):
        (data / name).mkdir(parents=True)
        for shot in range(2):
            picture = Image.fromarray(pictures.scene(2 * number + shot))
            picture.save(data / name / f"{MARK}_{number}{shot}.png")
    models = [str(place / f"{MARK}_{name}.onnx") for name in ("float", "int8")]
    record = place / f"{MARK}_scores.qdrun"
    done = cli("evaluate", *models, "--data", str(data), "-p", graphs.SPEC, "-q", "-o", str(record))
    assert record.is_dir(), done.err
    assert load_run(record).datasets
    assert _leaks(record, structured) == []


@pytest.mark.parametrize("structured", [False, True])
def test_a_search_for_a_cure_tells_nothing(place: Path, cli: Cli, structured: bool) -> None:
    models = [place / f"{MARK}_{name}.onnx" for name in ("float", "int8")]
    graph = onnx.load(models[1])
    (scale,) = (t for t in graph.graph.initializer if t.name == f"{MARK}/t2_s")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(600 / 255), scale.name))
    onnx.save(graph, models[1])
    for number in range(3, 8):
        Image.fromarray(pictures.scene(number)).save(place / f"{MARK}_shot_{number}.png")
    shots = sorted(map(str, place.glob("*.png")))
    tuned = place / f"{MARK}_tuned.onnx"
    done = cli("tune", *map(str, models), *shots, "-p", graphs.SPEC, "-q", "-o", str(tuned))
    assert tuned.exists(), done.err
    record = place / f"{MARK}_tuned.qdtune"
    tuning = load_run(record).tuning
    assert tuning is not None
    assert tuning.cures
    assert _leaks(record, structured) == []
