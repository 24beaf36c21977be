"""Quant layers in float arithmetic: equal where the operators are, whatever the quantization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from qdebug.analysis import operators
from qdebug.analysis.operators import NO_ERROR, OperatorError, OperatorTest
from qdebug.analysis.same_layers import SameLayers
from qdebug.capture.session import SessionSettings
from qdebug.graph.regions import Region
from tests.support.editor import Editor
from tests.support.nets import NETS, sample_inputs
from tests.support.pairs_of_models import LoadedPair, detector, load_pair
from tests.support.planting.families.subjects import random_quantizer

SETTINGS = SessionSettings(threads=1)


def errors(pair: LoadedPair) -> dict[str, OperatorError]:
    """By float tensor."""
    graphs = pair.float_graph, pair.quant_graph
    test = OperatorTest(graphs, pair.pairing, (pair.feeds[0], pair.feeds[0]), (SETTINGS, SETTINGS))
    found = test.errors(range(len(pair.pairing.pairs)))
    return {pair.pairing.pairs[at].float_tensor: error for at, error in found.items()}


@pytest.fixture(scope="module")
def sound() -> LoadedPair:
    return detector("int8")


@pytest.mark.parametrize("twin", ["int8", "int8_naive", "int8_range255"])
def test_badly_quantized_layers_compute_the_same(twin: str) -> None:
    found = errors(detector(twin))
    assert len(found) > 240
    assert all(error.exact for error in found.values())
    assert min(error.sqnr_db for error in found.values()) > 120


def test_weights_count_among_what_is_held_at_once(
    sound: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several gigabytes of weights in a file of their own are not copied into one model."""
    monkeypatch.setattr(SameLayers, "is_same", lambda *_: False)
    whole = errors(sound)
    held: list[tuple[int, int]] = []
    run = OperatorTest._run

    def watched(self: OperatorTest, chunk: Sequence[Region]) -> dict[int, OperatorError]:
        held.append((len(chunk), sum(map(self._weights, chunk))))
        return run(self, chunk)

    monkeypatch.setattr(OperatorTest, "_run", watched)
    monkeypatch.setattr(operators, "HELD", 1 << 18)
    assert errors(sound).keys() == whole.keys()
    assert len(held) > 5
    assert all(weights <= 1 << 18 or count == 1 for count, weights in held)


@pytest.mark.parametrize("twin", ["int8", "int8_naive", "int8_range255", "int8_qoperator"])
def test_layers_that_are_the_same_by_their_nodes_are_not_run(
    twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where they are run all the same, they compute the same."""
    pair = detector(twin)
    found = errors(pair)
    same = [tensor for tensor, error in found.items() if error is NO_ERROR]
    assert len(found) - len(same) <= 8
    monkeypatch.setattr(SameLayers, "is_same", lambda *_: False)
    run = errors(pair)
    assert run.keys() == found.keys()
    assert all(run[tensor].exact and run[tensor].sqnr_db > 100 for tensor in same)


def _mode(editor: Editor) -> str:
    node = next(n for n in editor.graph.node if n.op_type == "Resize")
    mode = next(a for a in node.attribute if a.name == "nearest_mode")
    mode.s = b"round_prefer_ceil"
    return str(node.output[0])


def _operands(editor: Editor) -> str:
    node = next(n for n in editor.graph.node if n.name == "/model.9/Concat")
    node.input[1], node.input[2] = node.input[2], node.input[1]
    return str(node.output[0])


def _stride(editor: Editor) -> str:
    node = next(n for n in editor.graph.node if n.name == "/model.9/m_1/MaxPool")
    pads = next(a for a in node.attribute if a.name == "pads")
    pads.ints[:] = [1, 1, 3, 3]
    return str(node.output[0])


@pytest.mark.parametrize("plant", [_mode, _operands, _stride])
def test_what_differs_in_an_attribute_or_an_operand_is_run(
    plant: Callable[[Editor], str], sound: LoadedPair, tmp_path: Path
) -> None:
    editor = Editor(onnx.load(sound.quant_graph.path))
    tensor = plant(editor)
    onnx.save(editor.model, tmp_path / "quant.onnx")
    found = errors(load_pair(sound.float_graph.path, tmp_path / "quant.onnx", sound.feeds))
    assert found[tensor] is not NO_ERROR


def test_layers_on_codes_are_left_out() -> None:
    found = errors(detector("int8_qoperator"))
    assert found
    assert "/model.0/conv/Conv_output_0" not in found


def test_another_operator_shows_at_its_own_layer_alone(sound: LoadedPair, tmp_path: Path) -> None:
    editor = Editor(onnx.load(sound.quant_graph.path))
    node = next(n for n in editor.graph.node if n.name == "/model.9/m_1/MaxPool")
    node.op_type = "AveragePool"
    kept = [a for a in node.attribute if a.name in ("kernel_shape", "pads", "strides")]
    del node.attribute[:]
    node.attribute.extend(kept)
    file = tmp_path / "quant.onnx"
    onnx.save(editor.model, file)
    found = errors(load_pair(sound.float_graph.path, file, sound.feeds))
    bad = [tensor for tensor, error in found.items() if error.sqnr_db < 100]
    assert bad == ["/model.9/m_1/MaxPool_output_0"]
    assert found[bad[0]].sqnr_db < 20
    assert found[bad[0]].peak > 10


def test_the_measure_is_a_ratio_of_powers() -> None:
    assert OperatorError(4.0, 0.04, True).sqnr_db == pytest.approx(20)
    assert OperatorError(1.0, 0.0, True).sqnr_db == np.inf
    assert OperatorError(0.0, 1.0, True).sqnr_db == -np.inf


def test_a_weight_that_two_layers_share_is_no_obstacle(tmp_path: Path) -> None:
    model = NETS["twins"]()
    feeds = sample_inputs(model, 3)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    onnx.save(model, tmp_path / "float.onnx")
    onnx.save(quantize(model), tmp_path / "quant.onnx")
    found = errors(load_pair(tmp_path / "float.onnx", tmp_path / "quant.onnx", feeds))
    assert {"/Relu_0_output_0", "/Relu_1_output_0"} <= set(found)
    assert min(error.sqnr_db for error in found.values()) > 100
