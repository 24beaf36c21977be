"""Where the error enters: sources with their victims, spread errors, dead outputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from qdebug.analysis.what_if import Gain, Part
from qdebug.checks.sources import Source, describe_sources
from tests.support.checked import (
    finding,
    layer_names,
    net_run,
    planted_run,
    sample_run,
    table_of,
)
from tests.support.editor import Editor
from tests.support.graphs import SIDE, float_model, qdq_model
from tests.support.planting.blocks import Quantizer, add_constants, quantize_pair

IMAGE = {"images": np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)}
PART = Part("out")
EARLY = "/features/features.1/dw/conv/Conv"


def test_the_early_depthwise_is_the_source_and_later_layers_are_its_victims() -> None:
    """Fault 13: one channel of the first depthwise convolution is a hundred times the others."""
    run = sample_run("classifier-outlier-channel")
    assert layer_names(run, finding(run, "outlier-channel")) == [EARLY]
    source = next(layer for layer in run.layers if layer.name == EARLY)
    assert source.role == "source"
    (reader,) = source.outputs  # fed with float values, it still quantizes them
    after = run.layers[reader + 1 :]
    assert {layer.role for layer in after} == {"victim"}
    for victim in after:
        assert victim.local is not None
        assert victim.accumulated is not None
        assert victim.local.sqnr_db > 30
        assert victim.accumulated.sqnr_db < 3


def test_the_finding_names_the_source_first_and_lists_victims_under_it() -> None:
    run = sample_run("classifier-outlier-channel")
    found = finding(run, "error-source")
    assert layer_names(run, found)[0] == EARLY
    assert found.status == "info"
    assert found.seen.endswith("This follows from QD403 outlier-channel.")
    rows = table_of(found, "Sources")
    assert rows[0][:2] == [EARLY, "source"]
    assert {row[1] for row in rows[1:4]} == {"victim"}
    assert rows[0][4] > 20


def test_nothing_stands_out_in_a_sound_model() -> None:
    found = finding(sample_run("classifier-int8"), "error-source")
    assert found.status == "pass"


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
    floats, quant = Editor(float_model()), Editor(dead())
    for editor in (floats, quant):
        editor.set("b3", np.zeros_like(editor.value("b3")))
    floats.set("w3", np.zeros_like(floats.value("w3")))
    run = net_run(floats.model, quant.model, IMAGE)
    assert finding(run, "dead-output").status == "pass"
    assert run.verdict.status != "fail"


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


@pytest.mark.parametrize(
    ("gains", "victims", "title", "seen", "advice"),
    [
        pytest.param(
            [9.0],
            (3, 4),
            "The error enters at a",
            "9.0 dB; 2 layers after it with",
            "Keep `a` in float or give it 16 bits. Leave the victims",
            id="one layer makes most of it",
        ),
        pytest.param(
            [1.5, 1.0],
            (3,),
            "Less than half of the error enters at 2 layers, first of all at a",
            "1.5 dB; 1 layer after it with",
            "Keep `a`, `b` in float or give them 16 bits, which alone will not do. Leave",
            id="two layers make some of it",
        ),
        pytest.param(
            [1.0],
            (),
            "Less than half",
            "gains 1.0 dB.",
            "which alone will not do.",
            id="no victims",
        ),
    ],
)
def test_how_much_of_the_error_enters_at_the_sources_is_not_overstated(
    gains: list[float], victims: tuple[int, ...], title: str, seen: str, advice: str
) -> None:
    sources = [Source(at, Gain(PART, 10.0, 10.0 + db), victims) for at, db in enumerate(gains)]
    told = describe_sources("ab"[: len(gains)], sources, Gain(PART, 10.0, 10.0 + sum(gains)))
    assert told[0].startswith(title)
    assert seen in told[1]
    assert advice in told[2]
    assert ("victims" in told[2]) == bool(victims)
