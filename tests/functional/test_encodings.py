"""A toolchain's file in the place of a quantized graph: compare, quantize, extract, export."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import onnx
import pytest

import qdebug
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support.graphs import SPEC
from tests.unit.vendors.test_tpu_mlir_encodings import QTABLE, TABLE

PHOTO = ("photo_0.png", "-p", SPEC)


@pytest.fixture
def table(here: Path) -> str:
    (here / "cali_table").write_text(TABLE)
    (here / "qtable").write_text(QTABLE)
    return "cali_table"


def test_a_table_is_compared_as_a_graph_is(table: str, cli: Cli) -> None:
    result = cli("compare", "float.onnx", table, *PHOTO, "-o", "r.qdrun", "--fail-on", "never")
    assert result.code == 0, result.err
    assert "quant  TPU-MLIR calibration table: 6 of 6 entries placed" in result.out
    run = load_run("r.qdrun")
    info = run.models.quant.encodings
    assert info is not None
    assert (info.origin, info.toolchain, info.placed) == ("cali_table", "tpu-mlir", 6)
    assert run.models.quant.file == "cali_table"
    assert {rest.reason for rest in info.rest} == {
        "is never written: Relu is computed with what is before it",
    }
    assert any(layer.local is not None for layer in run.layers)
    relu = next(layer for layer in run.layers if layer.float_tensor == "t2")
    assert relu.quant is not None
    assert relu.quant.dtype == "uint8"
    assert relu.quant.scale == pytest.approx(2.5 / 255)


def test_a_second_table_keeps_layers_in_float(table: str, cli: Cli) -> None:
    command = ("compare", "float.onnx", table, *PHOTO, "--qtable", "qtable", "-o", "r.qdrun", "-q")
    assert cli(*command).code == 0
    weights = {w.name: w for w in load_run("r.qdrun").layers}
    assert weights["relu1"].quant is not None


def test_the_twin_that_is_written_gives_what_is_compared(table: str, cli: Cli) -> None:
    result = cli("quantize", "float.onnx", "--from", table, "-o", "twin.onnx")
    assert result.code == 0, result.err
    assert "6 of 6 entries placed" in result.out
    model = onnx.load("twin.onnx")
    onnx.checker.check_model(model, full_check=True)
    shapes = {info.name: info for info in model.graph.value_info}
    assert "t2" in shapes
    assert len(shapes["t2"].type.tensor_type.shape.dim) == 4
    runs = [
        qdebug.compare("float.onnx", quant, "photo_0.png", preprocess=SPEC)
        for quant in (table, "twin.onnx")
    ]
    one, other = (run.outputs[0].accumulated for run in runs)
    assert one == other


@pytest.mark.parametrize("method", ["max", "mse", "kl", "percentile=99.9"])
def test_calibration_quantizes_anew(method: str, here: Path, cli: Cli) -> None:
    photos = [str(path.name) for path in sorted(here.glob("photo_*.png"))]
    pictures = [word for photo in photos for word in ("--calibrate", photo)]
    command = ("quantize", "float.onnx", *pictures, "-p", SPEC, "--method", method, "-o", "q.onnx")
    result = cli(*command)
    assert result.code == 0, result.err
    run = qdebug.compare("float.onnx", "q.onnx", photos, preprocess=SPEC)
    (output,) = run.outputs
    assert output.accumulated is not None
    assert 0.98 < output.accumulated.cosine < 1
    assert run.models.quant.detail == "uint8 activations, int8 weights per channel"


def test_parts_are_cut_out_of_a_table_s_twin(table: str, cli: Cli) -> None:
    result = cli("extract", "float.onnx", table, "conv2", *PHOTO, "-o", "part")
    assert result.code == 0, result.err
    assert Path("part/quant_part.onnx").is_file()


def test_the_input_check_reads_a_table(table: str, cli: Cli) -> None:
    models = ("--float", "float.onnx", "--quant", table)
    result = cli("preprocess", "check", *models, "-p", SPEC, "--json", "-")
    assert result.code in (0, 1), result.err
    assert json.loads(result.out)["schema"] == "qdebug.check/1"


def test_a_graph_goes_out_and_comes_back(here: Path, cli: Cli) -> None:
    out = cli("export", "quant.onnx", "--float", "float.onnx", "--vendor", "aimet", "-o", "q.json")
    assert out.code == 0, out.err
    for quant in ("quant.onnx", "q.json"):
        cli("compare", "float.onnx", quant, *PHOTO, "-o", f"{quant}.qdrun", "-q", "--force")
    one, other = (load_run(f"{quant}.qdrun").outputs[0] for quant in ("quant.onnx", "q.json"))
    assert one.accumulated == other.accumulated


def test_one_toolchain_s_file_becomes_another_s(table: str, cli: Cli) -> None:
    command = ("export", table, "--float", "float.onnx", "--vendor", "onnxruntime", "-o", "q.py")
    result = cli(*command)
    assert result.code == 0, result.err
    assert "'t2': [{" in Path("q.py").read_text()


def test_the_fixes_of_a_run_are_written(here: Path, cli: Cli) -> None:
    wide = {"t4": [{"scale": 9.0, "zero_point": 0}], "t2": [{"scale": 0.01, "zero_point": 0}]}
    (here / "overrides.json").write_text(json.dumps(wide))
    cli("compare", "float.onnx", "overrides.json", "photo_0.png", "-p", SPEC, "-o", "r.qdrun", "-q")
    result = cli("export", "r.qdrun", "--vendor", "onnxruntime", "-o", "quantize.py")
    assert result.code == 0, result.err
    assert '"rmin": np.float32(' in Path("quantize.py").read_text()
    refused = cli("export", "r.qdrun", "--vendor", "horizon", "-o", "info.yaml")
    assert (refused.code, "take no range for a single tensor" in refused.err) == (2, True)
    assert not Path("info.yaml").exists()


def _edited(old: str, new: str) -> str:
    """The table with something else in one place."""
    assert old in TABLE
    return TABLE.replace(old, new, 1)


BAD = {
    "nothing": ("some words\n", "is neither an ONNX model nor a table of a known toolchain"),
    "cut off": ('{"version": "2.0.0", "encod', "line 1: it is no JSON"),
    "other model": (TABLE.replace("\nt", "\nv").replace("images", "z"), "'z' is not in float.onnx"),
    "bidi": ("# op_name threshold\nt2\u202e_Relu 0 0 0\n", "'t2\\u202e_Relu' is 0"),
    "zero": (_edited("2.5000000 0.0", "0 0.0"), "line 7: the threshold of 't2_Relu' is 0"),
    "negative": (_edited("2.5000000 0.0", "-1 0.0"), "line 7: the threshold of 't2_Relu' is -1"),
    "nan": (_edited("2.5000000 0.0", "nan 0.0"), "line 7: the threshold of 't2_Relu' is nan"),
    "inf": (_edited("2.5000000 0.0", "inf 0.0"), "line 7: the threshold of 't2_Relu' is inf"),
    "twice": (_edited("t4_Relu", "t2_Relu"), "line 8: 't2_Relu' has a second entry, as in line 7"),
    "row cut off": (TABLE[:-20], "line 11: a row has 3 columns"),
    "edited by hand": (_edited("3.0000000 0.0", "3.0.0 0.0"), "line 8: the threshold of 't4_Relu'"),
    "weight scale": (
        '{"version": "2.0.0", "encodings": [{"name": "w1", "output_dtype": "int8", '
        '"y_scale": [Infinity, 1]}]}',
        "the scale of 'w1' is inf",
    ),
    "pickle": (pickle.dumps({"a": 1}, protocol=0).decode(), "neither an ONNX model nor a table"),
    "version 1": (
        "%YAML 1.2\n---\ncustomized_quantize_layers: {}\nquantize_parameters: {}\n",
        "line 3: it is a cfg of RKNN-Toolkit version 1",
    ),
    "yaml bomb": (
        "quantize_parameters:\n  a: &a [x, x]\n  b: &b [*a, *a]\n  c: [*b, *b]\n",
        "line 2: it refers to another place of itself",
    ),
    "yaml tag": (
        "quantize_parameters:\n  a: !!python/object/apply:os.system [id]\n",
        "line 2: it has a tag",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_files_get_one_sentence(text: str, message: str, here: Path, cli: Cli) -> None:
    (here / "table").write_text(text, encoding="utf-8")
    result = cli("compare", "float.onnx", "table", *PHOTO)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 2
    assert "Traceback" not in result.err


def test_a_pickle_is_never_opened(here: Path, cli: Cli) -> None:
    (here / "table").write_bytes(pickle.dumps({"configs": {}}))
    result = cli("compare", "float.onnx", "table", *PHOTO)
    assert result.code == 2
    assert "never opened" in result.err
    assert "Traceback" not in result.err


def test_options_that_do_not_fit_are_refused(table: str, here: Path, cli: Cli) -> None:
    result = cli("compare", "float.onnx", "quant.onnx", *PHOTO, "--qtable", "qtable")
    assert (result.code, "goes with a toolchain's table" in result.err) == (2, True)
    result = cli("compare", "float.onnx", table, *PHOTO, "--quant-format", "cali-table")
    assert (result.code, "did you mean 'cali_table'" in result.err) == (2, True)
    result = cli("quantize", "float.onnx", "-o", "q.onnx")
    assert (result.code, "--from FILE or --calibrate" in result.err) == (2, True)
    result = cli("quantize", "float.onnx", "--from", "quant.onnx", "-o", "q.onnx")
    assert (result.code, "is a quantized graph already" in result.err) == (2, True)
    result = cli("export", "quant.onnx", "--vendor", "nobody", "-o", "q")
    assert (result.code, "no file of 'nobody' can be written" in result.err) == (2, True)
    result = cli("export", table, "--vendor", "aimet", "-o", "q")
    assert (result.code, "give --float FLOAT" in result.err) == (2, True)
