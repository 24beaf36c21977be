"""Outputs whose signal is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from qdebug.analysis.tasks import TaskOutcome
from qdebug.checks.check import run_check
from qdebug.checks.dead_output import DEAD_OUTPUT
from qdebug.graph.pairs import Quantizer as EngineQuantizer
from qdebug.run.model import Finding, TaskResult
from tests.support.checked import finding, layer_names, net_run, planted_run, sample_run
from tests.support.contexts import check_context, measured, step_of
from tests.support.editor import Editor
from tests.support.graphs import SIDE, float_model, qdq_model
from tests.support.planting.blocks import Quantizer, add_constants, quantize_pair

IMAGE = {"images": np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)}


def dead() -> onnx.ModelProto:
    """The small twin whose last activations fall under half a step, and its bias with them."""
    editor = Editor(qdq_model())
    node = next(n for n in editor.graph.node if n.op_type == "GlobalAveragePool")
    quantizer = editor.quantizer_of(node.output[0])
    assert quantizer is not None
    for reader in (quantizer, *editor.readers(quantizer.output[0])):
        editor.set(editor.own(reader, 1), np.array(100, np.float32))
    return editor.model


def test_a_dead_output_is_traced_to_where_it_dies() -> None:
    floats, quant = Editor(float_model()), Editor(dead())
    for editor in (floats, quant):
        editor.set("b3", np.zeros_like(editor.value("b3")))
    run = net_run(floats.model, quant.model, IMAGE)
    assert run.verdict.status == "fail"
    (output,) = run.outputs
    assert output.state == "zero_quant"
    found = finding(run, "dead-output")
    assert "It dies at pool (GlobalAveragePool)." in found.seen
    assert found.status == "fail"
    assert run.outputs[0].layer in found.layers
    wide = finding(run, "range-too-wide")
    assert layer_names(run, wide) == ["pool"]
    assert wide.seen.endswith("This follows from QD304 dead-output.")


def test_an_output_that_is_zero_in_both_runs_is_no_dead_output() -> None:
    assert [found.status for found in _findings(SCORES * 0, SCORES * 0)] == ["pass"]


def test_an_output_below_half_a_step_of_its_own_is_dead_where_the_model_decides_by_it() -> None:
    """The scale is 2000 times too large: that is no lack of a signal to be excused."""
    _, run = planted_run("15 output scale x2000")
    (output,) = run.outputs
    assert output.state == "low_signal"
    assert run.verdict.status == "fail"
    assert run.verdict.reason.startswith("dead-output: ")
    found = finding(run, "dead-output")
    assert "the scale is about 2.7e+03 times what they need" in found.seen
    assert found.gain_db == pytest.approx(33, abs=2)
    assert finding(run, "low-signal").status == "pass"


@pytest.mark.parametrize(("step", "status"), [(1 / 255, "pass"), (8.0, "fail")])
def test_faint_scores_are_no_dead_output_unless_no_score_could_be_told(
    step: float, status: str
) -> None:
    """Scores of a picture with nothing on it, with the step of 0..1 and with a wrong one."""
    models = [_faint_scores(model) for model in (float_model(), qdq_model())]
    run = net_run(models[0], _quantized_scores(models[1], step), IMAGE)
    assert run.outputs[0].state == "low_signal"
    assert finding(run, "dead-output").status == status


SCORES = np.linspace(0.1, 0.9, 16).reshape(1, 2, 8)


@pytest.mark.parametrize(
    ("quant", "told"),
    [
        pytest.param(SCORES, None, id="alive"),
        pytest.param(SCORES * 0, "zero", id="zero"),
        pytest.param(SCORES * 0 + 0.5, "constant", id="one number that is not zero"),
    ],
)
def test_what_the_quant_run_makes_of_an_output(quant: np.ndarray, told: str | None) -> None:
    (found,) = _findings(SCORES, quant)
    assert found.status == ("pass" if told is None else "fail")
    if told is not None:
        assert f"the quant run is {told} on every sample" in found.seen


def test_an_output_that_does_not_vary_in_the_float_run_has_no_signal_to_lose() -> None:
    assert [found.status for found in _findings(SCORES * 0 + 0.5, SCORES * 0)] == ["pass"]


@pytest.mark.parametrize(("decisions", "status"), [(0, "pass"), (4, "fail")])
def test_where_nothing_bounds_a_faint_output_the_decisions_tell(
    decisions: int, status: str
) -> None:
    faint = SCORES * 1e-3
    task = TaskOutcome(TaskResult("classification", ""), None, decisions, 0, "")
    (found,) = _findings(faint, faint * 0, quantizer=step_of(0.1), task=task)
    assert found.status == status


def _findings(
    f: np.ndarray, q: np.ndarray, quantizer: EngineQuantizer | None = None, **given: Any
) -> list[Finding]:
    layers = [measured("scores", f, q, quantizer=quantizer)]
    return run_check(DEAD_OUTPUT, check_context(layers, float_model=float_model(), **given))


def _faint_scores(model: onnx.ModelProto) -> onnx.ModelProto:
    """The output turned into scores far below a half."""
    editor = Editor(model)
    (output,) = editor.graph.output
    add_constants(editor, {"low": np.array(-8, np.float32), "small": np.array(0.1, np.float32)})
    editor.graph.node.extend(
        [
            helper.make_node("Mul", [output.name, "small"], ["near"], "near"),
            helper.make_node("Add", ["near", "low"], ["shifted"], "shifted"),
            helper.make_node("Sigmoid", ["shifted"], ["faint"], "faint"),
        ]
    )
    output.name = "faint"
    return editor.model


def _quantized_scores(model: onnx.ModelProto, step: float) -> onnx.ModelProto:
    editor = Editor(model)
    editor.graph.node[-1].output[0] = "raw"
    pair = quantize_pair(editor, "raw", Quantizer(np.float32(step), np.array(0, np.uint8)))
    pair[-1].output[0] = "faint"
    editor.graph.node.extend(pair)
    return editor.model


@pytest.mark.parametrize("name", ["classifier-int8", "detector-int8-empty"])
def test_sound_outputs_live(name: str) -> None:
    assert finding(sample_run(name), "dead-output").status == "pass"
