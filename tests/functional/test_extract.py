"""``qdebug extract``: parts that replay a layer's local error, and what bad requests lead to."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import pytest

import qdebug
from qdebug.run.model import Run
from tests.functional.conftest import Cli
from tests.support.graphs import SPEC
from tests.support.running import direct_sqnr, run_tensors

PAIR = ("float.onnx", "quant.onnx")
PHOTO = ("photo_0.png", "-p", SPEC)
DETECTOR = "letterbox 320 pad 114 | rgb | /255 | nchw"


def layer_of(run: Run, tensor: str) -> qdebug.Layer:
    return next(layer for layer in run.layers if layer.float_tensor == tensor)


def local_db(run: Run, tensor: str) -> float:
    local = layer_of(run, tensor).local
    assert local is not None
    return local.sqnr_db


def replayed_db(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> float:
    """Accumulated SQNR at the output, by the command that the README names."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^\$ qdebug (.*)$", text, re.MULTILINE)
    assert command is not None
    monkeypatch.chdir(folder)
    result = cli(*command[1].split(), "--config", "none", "-o", "replay.qdrun")
    assert result.code in (0, 1)
    accumulated = qdebug.load_run(folder / "replay.qdrun").outputs[0].accumulated
    assert accumulated is not None
    return accumulated.sqnr_db


@pytest.mark.parametrize(
    ("folder", "quant", "picture", "spec"),
    [
        ("classifier", "int8_clipped", "objects/ball.jpg", None),
        ("classifier", "int8_weight_rolled", "objects/cone.jpg", None),
        ("detector", "int8_naive", "scenes/gray.jpg", DETECTOR),
        ("detector", "int8_qoperator", "scenes/gray.jpg", DETECTOR),
        ("detector", "dynamic", "scenes/gray.jpg", DETECTOR),
    ],
)
@pytest.mark.slow
def test_replaying_shows_the_local_error_of_the_whole_models(
    folder: str, quant: str, picture: str, spec: str | None,
    sample_models: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    models = sample_models / folder / "float.onnx", sample_models / folder / f"{quant}.onnx"
    photo = sample_models / "pictures" / picture
    whole = qdebug.compare(*models, photo, preprocess=spec)
    measured = [layer for layer in whole.layers if layer.local is not None and layer.op != "Input"]
    worst = min(measured, key=lambda layer: local_db(whole, layer.float_tensor))
    options = () if spec is None else ("-p", spec)
    request = ("extract", *map(str, models), worst.float_tensor, str(photo), *options)
    result = cli(*request, "-o", str(tmp_path / "part"), "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    expected = local_db(whole, worst.float_tensor)
    assert replayed_db(tmp_path / "part", cli, monkeypatch) == pytest.approx(expected, abs=0.1)


@pytest.fixture
def part(here: Path, cli: Cli) -> Path:
    result = cli("extract", *PAIR, "relu1", *PHOTO, "-o", "part")
    assert result.code == 0
    assert result.err == ""
    assert (
        "next  cd part && qdebug compare float_part.onnx quant_part.onnx inputs.npz" in result.out
    )
    return here / "part"


def test_the_folder_holds_what_an_engineer_asks_for(part: Path) -> None:
    assert sorted(path.name for path in part.iterdir()) == [
        "README.md",
        "expected.npz",
        "float_part.onnx",
        "inputs.npz",
        "quant_inputs.npz",
        "quant_part.onnx",
    ]
    for name in ("float_part.onnx", "quant_part.onnx"):
        onnx.checker.check_model(onnx.load(part / name), full_check=True)
    told = (part / "README.md").read_text(encoding="utf-8")
    for needed in (
        "`relu1` (Relu)",
        "opset 13",
        "sha256",
        "onnx ",
        "photo_0.png",
        "rgb | /255 | nchw",
    ):
        assert needed in told, needed
    assert str(part.parent) not in told


def test_the_tensors_are_those_of_direct_runs(part: Path) -> None:
    inputs = dict(np.load(part / "inputs.npz"))
    expected = np.load(part / "expected.npz")
    f = run_tensors(part / "float_part.onnx", inputs, ["t2"])["t2"]
    q = run_tensors(part / "quant_part.onnx", inputs, ["t2_dq"])["t2_dq"]
    np.testing.assert_array_equal(expected["float"], f)
    np.testing.assert_array_equal(expected["quant"], q)
    upstream = dict(np.load(part / "quant_inputs.npz"))
    assert not np.array_equal(upstream["t1"], inputs["t1"])
    q = run_tensors(part / "quant_part.onnx", upstream, ["t2_dq"])["t2_dq"]
    np.testing.assert_array_equal(expected["quant_model"], q)


def test_the_readme_replays_without_qdebug(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (part / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(part)
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(snippet, "README.md", "exec"), {})
    expected = np.load("expected.npz")
    by_hand = direct_sqnr(expected["float"], expected["quant"])
    assert float(out.getvalue().split()[1]) == pytest.approx(by_hand, abs=1e-6)


def test_several_samples_are_a_file_each(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = qdebug.compare(*PAIR, here, preprocess=SPEC)
    assert cli("extract", *PAIR, "t4", ".", "-p", SPEC, "-o", "part").code == 0
    names = sorted(path.name for path in (here / "part" / "inputs").iterdir())
    assert names == ["0000.npz", "0001.npz", "0002.npz"]
    expected = local_db(whole, "t4")
    assert replayed_db(here / "part", cli, monkeypatch) == pytest.approx(expected, abs=0.1)


def test_context_keeps_the_layer_s_own_error(here: Path) -> None:
    alone = qdebug.extract(*PAIR, "relu2", "photo_0.png", "alone", preprocess=SPEC)
    more = qdebug.extract(*PAIR, "relu2", "photo_0.png", "more", preprocess=SPEC, context=2)
    assert alone.faithful
    assert more.faithful
    assert alone.local == more.local
    assert len(onnx.load("more/float_part.onnx").graph.node) == 3
    assert "with 2 layers upstream" in Path("more/README.md").read_text(encoding="utf-8")


def test_equal_requests_give_equal_bytes(part: Path, cli: Cli) -> None:
    again = cli("extract", *PAIR, "relu1", *PHOTO, "-o", "again")
    assert again.code == 0
    for file in part.iterdir():
        assert file.read_bytes() == (part.parent / "again" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("name", ["t2", "relu1", "t2_dq", "t2_q", "#2"])
def test_a_layer_goes_by_any_of_its_names(name: str, here: Path) -> None:
    found = qdebug.extract(*PAIR, name, "photo_0.png", "part", preprocess=SPEC)
    assert (found.layer, found.op, found.float_tensor) == ("relu1", "Relu", "t2")


def test_large_weights_go_to_files_of_their_own(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdebug.comparison.extract.INLINE_BYTES", 100)
    found = qdebug.extract(*PAIR, "conv2", "photo_0.png", "part", preprocess=SPEC)
    assert found.faithful
    assert Path("part/float_part.weights").stat().st_size >= 8 * 8 * 9 * 4
    bare = onnx.load("part/float_part.onnx", load_external_data=False)
    assert any(tensor.external_data for tensor in bare.graph.initializer)
    onnx.checker.check_model("part/float_part.onnx")


def test_names_that_mean_something_elsewhere(here: Path, cli: Cli) -> None:
    """Tensors named like an argument of numpy, a path or a table; all of it reaches the files."""
    strange = "file"
    for file in PAIR:
        model = onnx.load(file)
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [strange if name == "t1" else name for name in names]
                names[:] = ["a|`b`/../c" if name == "t2" else name for name in names]
        onnx.save(model, file)
    assert cli("extract", *PAIR, "relu1", *PHOTO, "-o", "part").code == 0
    assert np.load("part/inputs.npz").files == [strange]
    assert "``a|`b`/../c``" in Path("part/README.md").read_text(encoding="utf-8")


BAD: dict[str, tuple[Callable[[], object], list[str], str]] = {
    "unknown layer": (
        lambda: None,
        ["relu11", *PHOTO],
        "qdebug: error: float.onnx has no layer 'relu11'\nhint: did you mean relu1 or relu2?\n",
    ),
    "nothing like it": (
        lambda: None,
        ["zzzzzz", *PHOTO],
        "qdebug: error: float.onnx has no layer 'zzzzzz'\nhint: qdebug show RUN lists the layers\n",
    ),
    "number too large": (
        lambda: None,
        ["#99", *PHOTO],
        "qdebug: error: there is no layer #99\nhint: the models have #0 to #7\n",
    ),
    "an input": (
        lambda: None,
        ["images", *PHOTO],
        "qdebug: error: images is an input of the model, which no layer computes\n"
        "hint: name a layer behind it\n",
    ),
    "a missing picture": (
        lambda: None,
        ["relu1", "no.png", "-p", SPEC],
        "qdebug: error: no.png does not exist\nhint: did you mean 'photo_2.png'?\n",
    ),
    "something else is there": (
        lambda: shutil.copytree(".", "part"),
        ["relu1", *PHOTO, "--force"],
        "qdebug: error: part exists and is not an extracted layer\nhint: choose another -o\n",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_requests_say_so_and_leave_nothing(case: str, here: Path, cli: Cli) -> None:
    prepare, arguments, error = BAD[case]
    prepare()
    before = sorted(here.rglob("*"))
    result = cli("extract", *PAIR, *arguments, "-o", "part")
    assert (result.code, result.out) == (2, "")
    assert result.err == error
    assert sorted(here.rglob("*")) == before


def test_an_extraction_is_replaced_only_with_force(part: Path, cli: Cli) -> None:
    request = ("extract", *PAIR, "relu2", *PHOTO, "-o", "part")
    refused = cli(*request)
    assert refused.code == 2
    assert refused.err == "qdebug: error: part exists already\nhint: use --force to replace it\n"
    assert "`relu1`" in (part / "README.md").read_text(encoding="utf-8")
    assert cli(*request, "--force").code == 0
    assert "`relu2`" in (part / "README.md").read_text(encoding="utf-8")


def test_samples_of_several_sizes_are_refused(here: Path, cli: Cli) -> None:
    for file in PAIR:
        model = onnx.load(file)
        for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            side.dim_param = f"side{side.dim_value}"
        onnx.save(model, file)
    for number, side in enumerate((16, 24)):
        np.save(f"size_{number}.npy", np.full((1, 3, side, side), 0.5, np.float32))
    result = cli("extract", *PAIR, "relu1", "size_0.npy", "size_1.npy", "-o", "part")
    assert result.code == 2
    assert "size_1.npy is of another size than the samples before it" in result.err
    assert not Path("part").exists()


def test_ctrl_c_leaves_nothing(here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert list(here.glob(".part.*.partial/float_part.onnx"))
        raise KeyboardInterrupt

    before = sorted(here.iterdir())
    monkeypatch.setattr("qdebug.comparison.extract.compare", interrupted)
    result = cli("extract", *PAIR, "relu1", *PHOTO, "-o", "part")
    assert result.code == 130
    assert result.err == "qdebug: interrupted: part was not written\n"
    assert sorted(here.iterdir()) == before


def test_parts_that_do_not_show_the_error_are_told(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_paired(*_: object, **__: object) -> Run:
        return qdebug.compare(*PAIR, "photo_1.png", preprocess=SPEC)

    monkeypatch.setattr("qdebug.comparison.extract.compare", nothing_paired)
    result = cli("extract", *PAIR, "relu1", *PHOTO, "-o", "part", "-q")
    assert result.code == 1
    assert "the parts do not show the same error" in result.out
    told = Path("part/README.md").read_text(encoding="utf-8")
    assert "**The parts do not show the same error as the whole models**" in told


def test_float16_is_judged_by_more_than_its_own_rounding(
    sample_models: Path, tmp_path: Path
) -> None:
    """ONNX Runtime leaves some roundings out, others in the whole model than in its parts."""
    models = (
        sample_models / "classifier" / "float.onnx",
        sample_models / "classifier" / "float16.onnx",
    )
    photo = sample_models / "pictures" / "objects" / "ball.jpg"
    layer, spec = "/features/features.2/project/conv/Conv", "resize 96x96 | rgb | /255 | nchw"
    found = qdebug.extract(*models, layer, photo, tmp_path / "p", preprocess=spec)
    assert found.half
    assert found.faithful
    assert found.replayed is not None
    assert min(found.local.sqnr_db, found.replayed.sqnr_db) > 60
    assert onnx.load(tmp_path / "p" / "quant_part.onnx").graph.initializer[0].data_type == 10
    coarse = dataclasses.replace(found.replayed, sqnr_db=50.0)
    assert not dataclasses.replace(found, replayed=coarse).faithful
    assert not dataclasses.replace(found, replayed=None).faithful


@pytest.mark.parametrize(
    ("folder", "quant", "picture"),
    [
        ("ultraface_rfb320", "quant_qop", "photos/street"),
        ("winml_tiny_resnet", "", "photos/objects"),
        ("mobilenetv2", "quant_qdq", "photos/objects"),
    ],
)
def test_layers_of_real_models(
    folder: str, quant: str, picture: str, zoo: Path, tmp_path: Path
) -> None:
    """No node names, other layouts, codes instead of Q/DQ pairs: every 40th layer replays."""
    float_model, quant_model = models_of(zoo / folder, quant)
    photo = min(zoo.glob(f"{picture}/*.jpg"))
    whole = qdebug.compare(float_model, quant_model, photo)
    chosen = [x for x in whole.layers if x.local is not None and x.quant and x.op != "Input"]
    assert len(chosen) > 20
    for layer in chosen[::40]:
        target = tmp_path / str(layer.index)
        found = qdebug.extract(float_model, quant_model, f"#{layer.index}", photo, target)
        assert found.faithful, layer.name
        assert layer.local is not None
        assert found.local.sqnr_db == pytest.approx(layer.local.sqnr_db, abs=1e-6)


def models_of(folder: Path, quant: str) -> tuple[Path, Path]:
    """The float model of a folder, and the quantized one whose name begins so."""
    files = sorted(folder.glob("*.onnx"))
    float_model = next(file for file in files if file.name.startswith("float"))
    others = [file for file in files if file != float_model]
    return float_model, next(file for file in others if file.name.startswith(quant))
