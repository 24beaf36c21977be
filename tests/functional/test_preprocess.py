"""``qdebug preprocess`` and the input gate of ``compare``, through the real command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from qdebug.preprocess import PreprocessSpec, prepare_file
from qdebug.preprocess.probe import write_probe
from qdebug.run.schema import check_schema
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support.graphs import SPEC

PROBE = "letterbox 320 pad 114 | rgb | /255 | nchw"


def tensor(picture: str, spec: str) -> NDArray[np.float32]:
    return prepare_file(Path(picture), PreprocessSpec.parse(spec)).tensor


def save(name: str, picture: str, spec: str) -> str:
    np.save(name, tensor(picture, spec))
    return name


@pytest.fixture(scope="module")
def _probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, _ = write_probe(tmp_path_factory.mktemp("probe") / "probe.png")
    return path


@pytest.fixture
def probe(_probe: Path, here: Path) -> str:
    """``probe.png`` in the working directory, as ``qdebug preprocess probe`` writes it."""
    shutil.copy(_probe, here)
    return "probe.png"


def report(cli: Cli, *arguments: str) -> tuple[int, dict[str, object], list[str]]:
    result = cli("preprocess", "check", *arguments, "--json", "-")
    assert result.err == ""
    content = json.loads(result.out)
    jsonschema.validate(content, check_schema())
    findings = [f["slug"] for f in content["findings"] if f["status"] in ("warn", "fail")]
    return result.code, content, findings


def test_the_probe_and_its_turned_twin_are_written(here: Path, cli: Cli) -> None:
    result = cli("preprocess", "probe", "-o", "probe.png", "--size", "640x480")
    assert result.out == "Wrote probe.png\nWrote probe_exif.jpg\n"
    again = cli("preprocess", "probe", "-o", "probe.png")
    assert again.code == 2
    assert "--force" in again.err


@pytest.mark.parametrize(
    ("fed", "slugs"),
    [
        (PROBE, []),
        ("letterbox 320 pad 114 | rgb | /255 | nhwc", ["layout"]),
        ("letterbox 320 pad 114 | bgr | /255 | nchw", ["channel-order"]),
        ("resize 320x320 | bgr | /255 | nchw", ["channel-order", "resize-geometry"]),
        ("letterbox 320 pad 114 | rgb | nchw", ["missing-scale"]),
    ],
)
def test_a_fed_tensor_is_judged_against_the_picture(
    probe: str, cli: Cli, fed: str, slugs: list[str]
) -> None:
    code, content, found = report(cli, probe, "--fed", save("fed.npy", probe, fed), "-p", PROBE)
    assert (code, found) == (1 if set(slugs) - {"layout"} else 0, slugs)
    assert content["schema"] == "qdebug.check/1"
    assert content["recovered"] == str(PreprocessSpec.parse(fed))
    assert content["reference"] == str(PreprocessSpec.parse(PROBE))


def test_the_schema_of_a_check_is_published(cli: Cli) -> None:
    published = json.loads(cli("schema", "check").out)
    assert published == check_schema()
    assert published["$id"] == "qdebug.check/1"
    wanted = {"schema", "recovered", "reference", "residual_codes", "output_sqnr_db", "findings"}
    named = (
        published["$defs"][published["$ref"].rpartition("/")[2]]
        if "$ref" in published
        else published
    )
    assert set(named["required"]) == wanted
    assert set(named["properties"]) == wanted | {"origin", "doubts"}


def test_without_a_reference_the_pipeline_is_only_recovered(probe: str, cli: Cli) -> None:
    fed = save("fed.npy", probe, "letterbox 320 pad 0 top-left | bgr | nhwc")
    result = cli("preprocess", "check", probe, "--fed", fed)
    assert result.code == 0
    assert "recovered  letterbox 320 pad 0 cv2 linear top-left | bgr | nhwc" in result.out.replace(
        "letterbox 320 pad 0 top-left |", "letterbox 320 pad 0 cv2 linear top-left |"
    )
    assert "no -p to compare with" in result.out


def test_raw_bytes_need_no_shape_where_the_model_or_the_reference_gives_one(
    probe: str, cli: Cli
) -> None:
    tensor(probe, "letterbox 320 pad 114 | bgr | uint8 | nhwc").tofile("fed.bin")
    code, content, found = report(cli, probe, "--fed", "fed.bin", "-p", PROBE)
    assert (code, found) == (1, ["channel-order", "layout"])
    assert content["recovered"] == "letterbox 320 pad 114 | bgr | uint8 | nhwc"


def test_settings_that_say_nothing_of_the_geometry_leave_it_unjudged(probe: str, cli: Cli) -> None:
    fed = save("fed.npy", probe, PROBE)
    right = "rknn:mean_values=[[0,0,0]] std_values=[[255,255,255]]"
    assert report(cli, probe, "--fed", fed, "-p", right)[::2] == (0, [])
    wrong = "rknn:mean_values=[[0,0,0]] std_values=[[1,1,1]]"
    assert report(cli, probe, "--fed", fed, "-p", wrong)[::2] == (1, ["missing-scale"])


def test_two_tensors_are_compared_without_the_picture(probe: str, cli: Cli) -> None:
    right = save("right.npy", probe, PROBE)
    wrong = save("wrong.npy", probe, "letterbox 320 pad 114 | bgr | /255 | nchw")
    assert report(cli, "--reference", right, "--fed", right)[::2] == (0, [])
    assert report(cli, "--reference", right, "--fed", wrong)[::2] == (1, ["channel-order"])


def test_two_pipelines_are_compared_in_words_and_on_a_picture(probe: str, cli: Cli) -> None:
    copied = (
        "ncnn:mean=[104,117,123] norm=[0.017,0.017,0.017] shape=[320,320,3] pixel=BGR method=kl"
    )
    result = cli("preprocess", "diff", PROBE, copied, probe, "--json", "diff.json")
    assert result.code == 0
    assert "R and B are swapped" in result.out
    assert "ncnn's example for Caffe models (mean 104,117,123, norm 0.017)" in result.out
    assert "on the image:" in result.out
    content = json.loads(Path("diff.json").read_text())
    slugs = [difference["slug"] for difference in content["differences"]]
    assert sorted(slugs) == ["channel-order", "missing-normalization", "resize-geometry"]
    same = cli("preprocess", "diff", PROBE, "rknn:mean_values=[[0,0,0]] std_values=[[255,255,255]]")
    assert same.code == 0


def test_models_and_a_pipeline_are_judged_without_a_tensor(here: Path, cli: Cli) -> None:
    models = ("--float", "float.onnx", "--quant", "quant.onnx")
    assert report(cli, *models, "-p", SPEC)[::2] == (0, [])
    unscaled = SPEC.replace(" | /255", "")
    assert report(cli, *models, "-p", unscaled)[::2] == (1, ["calibration-range"])
    code, content, found = report(cli, "photo_0.png", *models, "-p", SPEC)
    assert (code, found) == (0, [])
    assert content["recovered"] is None
    hints = [f for f in content["findings"] if "confidence" in f["title"]]  # type: ignore[attr-defined]
    assert len(hints) == 1


def compare(cli: Cli, *arguments: str) -> tuple[int, dict[str, object], list[str]]:
    result = cli("compare", "float.onnx", "quant.onnx", "photo_0.png", "-p", SPEC, *arguments,
                 "-q", "--json", "-", "--force")  # fmt: skip
    assert result.err == ""
    run = json.loads(result.out)
    alarms = [
        f["slug"]
        for f in run["findings"]
        if f["id"].startswith("QD1") and f["status"] in ("warn", "fail")
    ]
    return result.code, run["verdict"], alarms


@pytest.mark.parametrize(
    ("quant", "slugs"),
    [
        (SPEC, []),
        (SPEC.replace("rgb", "bgr"), ["channel-order"]),
        (SPEC.replace(" | /255", ""), ["missing-scale"]),
        (SPEC.replace("/255", "/255 | /255"), ["double-normalization"]),
        ("ncnn:mean=[0] norm=[0.00392157] shape=[16,16,3] pixel=RGB", []),
        ("ncnn:mean=[0] norm=[0.00392157] shape=[16,16,3] pixel=BGR", ["channel-order"]),
        ("rknn:mean_values=[[0,0,0]] std_values=[[255,255,255]]", []),
        ("rknn:mean_values=[[0,0,0]] std_values=[[1,1,1]]", ["missing-scale"]),
    ],
)
def test_compare_judges_the_quant_sides_pipeline_first(
    here: Path, cli: Cli, quant: str, slugs: list[str]
) -> None:
    code, verdict, found = compare(cli, "--quant-preprocess", quant)
    assert found == slugs
    if slugs:
        assert (code, verdict["status"], verdict["gate"]) == (1, "fail", "input")
        assert str(verdict["reason"]).startswith(f"{slugs[0]}: ")
    else:
        assert verdict["gate"] != "input"


@pytest.mark.parametrize(
    ("fed", "slugs"),
    [
        (SPEC, []),
        (SPEC.replace("nchw", "nhwc"), []),
        (SPEC.replace("/255 | nchw", "uint8 | nhwc"), []),
        (SPEC.replace("/255 | nchw", "offset -128 | int8 | nhwc"), []),
        (SPEC.replace("rgb", "bgr"), ["channel-order"]),
        (SPEC.replace("rgb | /255 | nchw", "bgr | uint8 | nhwc"), ["channel-order"]),
        (SPEC.replace(" | /255", ""), ["missing-scale"]),
    ],
)
def test_compare_judges_what_was_really_fed(
    here: Path, cli: Cli, fed: str, slugs: list[str]
) -> None:
    _, verdict, found = compare(cli, "--fed", save("fed.npy", "photo_0.png", fed))
    assert found == slugs
    assert (verdict["gate"] == "input") == bool(slugs)


def test_the_run_shows_what_was_really_fed(here: Path, cli: Cli) -> None:
    fed = save("fed.npy", "photo_0.png", SPEC.replace("rgb", "bgr"))
    compare(cli, "--fed", fed, "-o", "fed.qdrun")
    first, *others = load_run("fed.qdrun").samples
    assert first.thumb is not None
    assert first.thumb_fed is not None
    assert all(sample.thumb_fed is None for sample in others)
    right, shown = (
        np.asarray(Image.open(Path("fed.qdrun") / name)) for name in (first.thumb, first.thumb_fed)
    )
    assert np.array_equal(shown, right[..., ::-1])
    assert cli("report", "fed.qdrun", "-o", "fed.html").code == 0
    assert "really fed" in Path("fed.html").read_text(encoding="utf-8")


def test_compare_reads_what_the_quant_graph_does_to_its_input(here: Path, cli: Cli) -> None:
    """A quant graph that swaps the channels itself must be fed BGR."""
    model = onnx.load("quant.onnx")
    for node in model.graph.node:
        node.input[:] = ["swapped" if name == "images" else name for name in node.input]
    index = numpy_helper.from_array(np.array([2, 1, 0]), "order")
    model.graph.initializer.append(index)
    swap = helper.make_node("Gather", ["images", "order"], ["swapped"], name="swap", axis=1)
    model.graph.node.insert(0, swap)
    onnx.save(model, "quant.onnx")
    _, verdict, found = compare(cli)
    assert found == ["channel-order"]
    assert verdict["gate"] == "input"
    _, verdict, found = compare(cli, "--quant-preprocess", SPEC.replace("rgb", "bgr"))
    assert (found, verdict["gate"] == "input") == ([], False)
    _, _, found = compare(
        cli, "--quant-preprocess", SPEC.replace("rgb", "bgr"),
        "--fed", save("fed.npy", "photo_0.png", SPEC.replace("rgb", "bgr")),
    )  # fmt: skip
    assert found == []


BAD_TENSORS: dict[str, tuple[object, str]] = {
    "nan.npy": (np.full((1, 3, 16, 16), np.nan, np.float32), "768 values that are NaN"),
    "huge.npy": (np.full((1, 3, 16, 16), 1e30, np.float32), "values up to 1e+30"),
    "few.npy": (np.arange(7.0), "7 values, too few for a picture of 16x16"),
    "text.npy": (np.array(["a"] * 999), "which no model takes"),
    "batch.npy": (np.zeros((4, 3, 16, 16), np.float32), "a batch of 4, one picture is needed"),
    "empty.npy": (np.zeros((1, 3, 0, 0), np.float32), "which is no picture's tensor"),
}


@pytest.mark.parametrize("command", ["check", "compare"])
@pytest.mark.parametrize("name", [*BAD_TENSORS, "absent.npy", "cut.npy", "photo_0.png", "few.bin"])
def test_an_unusable_tensor_is_one_sentence_and_a_hint(
    here: Path, cli: Cli, name: str, command: str
) -> None:
    for file, (values, _) in BAD_TENSORS.items():
        np.save(file, values)  # type: ignore[arg-type]
    Path("cut.npy").write_bytes(Path("nan.npy").read_bytes()[:300])
    Path("few.bin").write_bytes(bytes(100))
    pair = (
        ("preprocess", "check") if command == "check" else ("compare", "float.onnx", "quant.onnx")
    )
    result = cli(*pair, "photo_0.png", "-p", SPEC, "--fed", name)
    assert result.code == 2
    assert result.out == ""
    assert "internal error" not in result.err
    words = BAD_TENSORS[name][1] if name in BAD_TENSORS else Path(name).stem
    assert words in result.err
    assert not list(Path().glob("*.qdrun"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "absent.png", "--fed", "fed.npy"),
        ("check", "cut.png", "--fed", "fed.npy"),
        ("check", ".", "--fed", "fed.npy"),
        ("check", "\x1b[31m.png", "--fed", "fed.npy"),
        ("check", "photo_0.png"),
        ("check", "photo_0.png", "photo_1.png", "--fed", "fed.npy"),
        ("check", "photo_0.png", "--fed", "fed.npy", "-p", "resiz 16"),
        ("check", "photo_0.png", "--fed", "fed.npy", "-p", "horizon:absent.yaml"),
        ("check", "photo_0.png", "--float", "photo_0.png"),
        ("check", "photo_0.png", "--reference", "fed.npy", "--fed", "fed.npy"),
        ("diff", SPEC),
        ("diff", SPEC, SPEC, "absent.png"),
        ("show", "nonsense"),
        ("probe",),
        ("probe", "-o", "absent/probe.png"),
        ("probe", "-o", "probe.png", "--size", "10x10"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    here: Path, cli: Cli, arguments: tuple[str, ...]
) -> None:
    save("fed.npy", "photo_0.png", SPEC)
    whole = Path("photo_0.png").read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    result = cli("preprocess", *arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("qdebug: error: ")
    assert "internal error" not in result.err
    assert "\x1b" not in result.err
