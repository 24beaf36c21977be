"""Models with a vendor's own layers at their end."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support import graphs
from tests.support.nets import NetBuilder
from tests.unit.graph.test_cut import with_end
from tests.unit.vendors.test_tpu_mlir_encodings import TABLE

PHOTO = ("photo_0.png", "-p", graphs.SPEC, "-o", "r.qdrun", "--fail-on", "never")


@pytest.fixture
def ended(here: Path) -> Path:
    """``float_end.onnx`` and ``quant_end.onnx``: detection output behind the scores."""
    for name, model in (("float", graphs.float_model()), ("quant", graphs.qdq_model())):
        made = with_end(model, "DetectionOutput", ["scores", "im_info"])
        onnx.save(made, str(here / f"{name}_end.onnx"))
    return here


@pytest.mark.parametrize(
    ("float_model", "quant_model"),
    [
        ("float_end.onnx", "quant_end.onnx"),
        ("float.onnx", "quant_end.onnx"),
        ("float_end.onnx", "quant.onnx"),
    ],
)
def test_both_are_compared_up_to_it(
    float_model: str, quant_model: str, ended: Path, cli: Cli
) -> None:
    result = cli("compare", float_model, quant_model, *PHOTO)
    assert result.code == 0, result.err
    assert "cut off at scores, since ONNX Runtime has no DetectionOutput" in result.out
    assert "(up to scores: what is behind was cut off)" in " ".join(result.out.split())
    run = load_run("r.qdrun")
    assert [output.name for output in run.outputs] == ["scores"]
    assert run.outputs[0].accumulated is not None
    cuts = [model.cut for model in (run.models.float, run.models.quant)]
    assert [cut is not None for cut in cuts] == ["_end" in float_model, "_end" in quant_model]
    plain = cli("compare", "float.onnx", "quant.onnx", *PHOTO, "--force")
    assert plain.code == 0
    assert "cut off" not in plain.out
    assert load_run("r.qdrun").outputs[0].accumulated == run.outputs[0].accumulated


def test_a_table_may_speak_of_what_was_cut_off(ended: Path, cli: Cli) -> None:
    (ended / "cali_table").write_text(TABLE + "found_DetectionOutput 1.0 -1.0 1.0\n")
    result = cli("compare", "float_end.onnx", "cali_table", *PHOTO)
    assert result.code == 0, result.err
    info = load_run("r.qdrun").models.quant.encodings
    assert info is not None
    assert [item.reason for item in info.unplaced] == ["it is of what was cut off"]
    assert cli("quantize", "float_end.onnx", "--from", "cali_table", "-o", "q.onnx").code == 0
    assert [item.name for item in onnx.load("q.onnx").graph.output] == ["scores"]


def test_outputs_can_be_named(ended: Path, cli: Cli) -> None:
    result = cli("compare", "float.onnx", "quant.onnx", *PHOTO, "--outputs", "relu2,t2")
    assert result.code == 0, result.err
    assert "float  cut off at t4, t2: 3 nodes not compared, 1 layer with weights" in result.out
    assert [output.name for output in load_run("r.qdrun").outputs] == ["t4", "t2"]
    command = ("quantize", "float_end.onnx", "--calibrate", "photo_0.png", "-p", graphs.SPEC)
    assert cli(*command, "--outputs", "t4", "-o", "q.onnx").code == 0
    assert [item.name for item in onnx.load("q.onnx").graph.output] == ["t4"]


@pytest.mark.parametrize(
    ("given", "quant_model", "told"),
    [
        ("nothing", "quant.onnx", "--outputs: float.onnx computes no tensor 'nothing'"),
        ("t4", "other.onnx", "no tensor of other.onnx stands for 't4'"),
    ],
)
def test_what_is_no_place_to_cut_is_refused(
    given: str, quant_model: str, told: str, ended: Path, cli: Cli
) -> None:
    net = NetBuilder(0)
    other = net.model(net.op("Neg", net.input("pixels", [1, 3, 16, 16])))
    onnx.save(other, str(ended / "other.onnx"))
    result = cli("compare", "float.onnx", quant_model, *PHOTO, "--outputs", given)
    assert result.code == 2
    assert told in result.err
    assert "Traceback" not in result.err
