"""Where the error enters: sources with their victims, spread errors, dead outputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.support.checked import finding, layer_names, net_run, sample_run, table_of
from tests.support.editor import Editor
from tests.support.graphs import SIDE, float_model, qdq_model

IMAGE = {"images": np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)}
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
    assert layer_names(run, finding(run, "range-too-wide")) == ["pool"]
    assert finding(run, "range-too-wide").status == "fail"
    assert run.outputs[0].layer in found.layers


def test_an_output_that_is_zero_in_both_runs_is_no_dead_output() -> None:
    floats, quant = Editor(float_model()), Editor(dead())
    for editor in (floats, quant):
        editor.set("b3", np.zeros_like(editor.value("b3")))
    floats.set("w3", np.zeros_like(floats.value("w3")))
    run = net_run(floats.model, quant.model, IMAGE)
    assert finding(run, "dead-output").status == "pass"
    assert run.verdict.status != "fail"


@pytest.mark.parametrize("name", ["classifier-int8", "detector-int8-empty"])
def test_sound_outputs_live(name: str) -> None:
    assert finding(sample_run(name), "dead-output").status == "pass"
