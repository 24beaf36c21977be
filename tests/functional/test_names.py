"""The toolchain's own optimized graph as a second input: ``--names``."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support.graphs import SPEC, float_model
from tests.unit.vendors.test_tpu_mlir_encodings import TABLE

PHOTO = ("photo_0.png", "-p", SPEC, "-o", "r.qdrun", "--fail-on", "never")


@pytest.fixture
def optimized(here: Path) -> Path:
    """``optimized.onnx`` with names of its own, and ``table``, which speaks of these."""
    model = float_model()
    for node in model.graph.node:
        node.name = f"vendor_{node.name}"
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = f"v{name}" if name[0] == "t" else name
    onnx.save(model, str(here / "optimized.onnx"))
    (here / "table").write_text(TABLE.replace("\nt", "\nvt"))
    return here


def test_a_table_in_the_names_of_the_toolchain_s_graph(optimized: Path, cli: Cli) -> None:
    refused = cli("compare", "float.onnx", "table", *PHOTO)
    assert refused.code == 2
    assert "--names" in refused.err
    result = cli("compare", "float.onnx", "table", *PHOTO, "--names", "optimized.onnx")
    assert result.code == 0, result.err
    run = load_run("r.qdrun")
    assert run.models.quant.encodings is not None
    assert run.models.quant.encodings.placed == 6
    relu = next(layer for layer in run.layers if layer.float_tensor == "t2")
    assert relu.quant is not None
    assert relu.quant.scale == pytest.approx(2.5 / 255)


def test_its_twin_is_made_of_that_graph(optimized: Path, cli: Cli) -> None:
    given = ("quantize", "float.onnx", "--from", "table", "--names", "optimized.onnx")
    assert cli(*given, "-o", "twin.onnx").code == 0
    outputs = {name for node in onnx.load("twin.onnx").graph.node for name in node.output}
    assert "vt2_QuantizeLinear_Output" in outputs


def test_what_is_written_is_in_its_names(optimized: Path, cli: Cli) -> None:
    given = ("export", "quant.onnx", "--vendor", "tpu-mlir", "--names", "optimized.onnx")
    result = cli(*given, "--float", "float.onnx", "-o", "new_cali_table")
    assert result.code == 0, result.err
    rows = [line.split()[0] for line in Path("new_cali_table").read_text().splitlines()[1:]]
    assert rows == ["images", "vt2_Relu", "vt4_Relu", "vt5_GlobalAveragePool"]


def test_cuts_are_named_in_the_float_model(optimized: Path, cli: Cli) -> None:
    given = ("compare", "float.onnx", "table", *PHOTO, "--names", "optimized.onnx")
    result = cli(*given, "--outputs", "t4")
    assert result.code == 0, result.err
    assert [output.name for output in load_run("r.qdrun").outputs] == ["t4"]
