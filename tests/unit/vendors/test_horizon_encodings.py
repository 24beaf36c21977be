"""Horizon: its operators expanded, its thresholds read, its tables written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdebug.encodings import Encoding, Encodings
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, ModelError, UsageError
from qdebug.graph.load import load_graph
from qdebug.vendors import registry
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.horizon.calibrated import expand
from qdebug.vendors.horizon.encodings import (
    is_quant_info,
    read_quant_info,
    write_node_info,
    write_quant_config,
    write_run_on_cpu,
)
from qdebug.vendors.horizon.replay import replay
from qdebug.vendors.quant_model import read_graph
from tests.support.graphs import write_pair
from tests.support.running import run_tensors

LAYERS = (FloatLayer("/a/Conv", "Conv", "a"), FloatLayer("b", "Gemm", "b_out"))


def horizon(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], f"{output}_{op}", domain="horizon", **attributes)


def calibrated(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "calibrated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 2, 3])],
    )
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid("horizon", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=7)


X = np.linspace(-4, 4, 24, dtype=np.float32).reshape(1, 4, 2, 3)


def run(model: onnx.ModelProto) -> np.ndarray[Any, Any]:
    return run_tensors(expand(model, Path()), {"x": X}, ["y"])["y"]


def test_calibration_is_quantization_and_back() -> None:
    made = run(calibrated(horizon("HzCalibration", ["x"], "y", scales=[0.02], qtype="int8")))
    assert (made == np.clip(np.rint(X / np.float32(0.02)), -128, 127) * np.float32(0.02)).all()


def test_an_equalized_input_is_read_with_one_scale() -> None:
    scales = np.asarray([0.01, 0.02, 0.03, 0.04], np.float32)
    node = horizon(
        "HzCalibration", ["x"], "y", scales=scales, axis=1, qtype="int16", dequantize_scale=[0.5]
    )
    assert (run(calibrated(node)) == np.rint(X / scales.reshape(1, 4, 1, 1)) * 0.5).all()


def test_hard_swish_and_shuffle_are_what_their_names_say() -> None:
    swish = run(calibrated(horizon("HzHardSwish", ["x"], "y")))
    assert np.allclose(swish, X * np.clip(X + 3, 0, 6) / 6, atol=1e-6)
    shuffled = run(calibrated(horizon("HzChannelShuffle", ["x"], "y", group=2)))
    assert (shuffled == X.reshape(1, 2, 2, 2, 3).transpose(0, 2, 1, 3, 4).reshape(X.shape)).all()


def test_what_is_not_known_is_named() -> None:
    odd = calibrated(horizon("HzCalibration", ["x"], "y", scales=[0.1], qtype="int3"))
    with pytest.raises(ModelError, match="quantizes to int3"):
        expand(odd, Path())
    integer = calibrated(horizon("HzConv", ["x"], "c"), horizon("HzHardSwish", ["c"], "y"))
    with pytest.raises(ModelError, match="HzConv 'c_HzConv' is an operator of Horizon's integer"):
        expand(integer, Path())


def test_detection_behind_the_network_stays_to_be_cut_off() -> None:
    mixed = calibrated(
        horizon("HzCalibration", ["x"], "c", scales=[0.1]), horizon("HzDetection", ["c"], "y")
    )
    made = expand(mixed, Path())
    assert [node.op_type for node in made.graph.node][-1] == "HzDetection"
    assert {entry.domain for entry in made.opset_import} == {"", "horizon"}


def test_a_graph_with_its_operators_is_a_quant_model(tmp_path: Path) -> None:
    path = tmp_path / "calibrated.onnx"
    node = horizon("HzCalibration", ["x"], "y", scales=[0.02], qtype="uint8")
    path.write_bytes(calibrated(node).SerializeToString())
    made = read_graph(path)
    assert made.info is not None
    assert (made.info.form, made.info.toolchain) == ("Horizon calibrated model", "horizon")
    assert [n.op for n in made.graph.nodes] == ["QuantizeLinear", "DequantizeLinear"]


def quant_info(threshold: Any) -> Source:
    node = {"type": "Conv", "inputs": ["t2_calibrated", "w2"], "thresholds": [[threshold]]}
    return Source(Path("quant_info.json"), json.dumps({"Conv_0": node}).encode())


def test_thresholds_are_read(tmp_path: Path) -> None:
    beside = Beside(load_graph(write_pair(tmp_path)[0]))
    assert is_quant_info(quant_info(2.54))
    (entry,) = read_quant_info(quant_info(2.54), beside).entries
    assert (entry.name, entry.encoding) == ("t2", Encoding.linear("int8", 2.54 / 127))
    for bad in (0, -1, "nan"):
        with pytest.raises(EncodingsError, match="the threshold of 't2'"):
            read_quant_info(quant_info(bad), beside)


def change(**parts: Any) -> Change:
    return Change(Encodings(()), LAYERS, **parts)


def test_two_dialects_for_layers_out_of_8_bits() -> None:
    written = write_node_info(change(keep=LAYERS)).content.decode()
    assert '"/a/Conv": {"ON": "BPU", "InputType": "int16", "OutputType": "int16"},' in written
    config = json.loads(write_quant_config(change(keep=LAYERS)).content)
    assert config["node_config"] == {x.node: {"qtype": "int16"} for x in LAYERS}
    cpu = write_run_on_cpu(change(keep=LAYERS)).content.decode()
    assert cpu == 'calibration_parameters:\n  run_on_cpu: "/a/Conv;b"\n'


def test_what_horizon_cannot_be_told_is_refused() -> None:
    better = (BetterRange(LAYERS[0], 0, 1, clips=True),)
    with pytest.raises(UsageError, match="no range for a single tensor"):
        write_node_info(change(ranges=better))
    with pytest.raises(UsageError, match="nothing is to be kept"):
        write_quant_config(change())
    odd = (FloatLayer("a;b", "Conv", "a"),)
    with pytest.raises(UsageError, match="semicolon"):
        write_run_on_cpu(change(keep=odd))
    notes = write_node_info(change(keep=LAYERS, ranges=better)).notes
    assert "1 better ranges are left out: Horizon takes none" in notes


def test_a_layer_with_a_sum_in_integers() -> None:
    """By hand: one channel, 1x1; (10 * 3 + 4 + (20 * 3 >> 1)) >> 1 = 32, * 5 >> 3 = 20."""
    from qdebug.graph.model import Graph

    node = helper.make_node(
        "HzSQuantizedConv",
        ["x", "w", "b", "s", "e"],
        ["y"],
        strides=[1, 1],
        pads=[0, 0, 0, 0],
        dilations=[1, 1],
        group=1,
        use_bias=1,
        use_sumin=1,
        e_scale=[3],
        e_shift=[-1],
        right_shift=[1],
        scale=[5],
        out_shift=[3],
        output_bit=8,
    )
    graph = helper.make_graph([node], "g", [], [])
    one = np.ones((1, 1, 1, 1), np.int8)
    values: dict[str, Any] = {
        "x": 10 * one,
        "w": 3 * one,
        "b": np.asarray([4], np.int32),
        "s": np.zeros(1, np.int8),
    }
    values["e"] = 20 * one
    (layer,) = Graph(helper.make_model(graph), Path(), "").nodes
    made = replay(layer, values)
    assert made is not None
    assert made.ravel().tolist() == [20]


def test_its_parts_are_found() -> None:
    vendor = registry.toolchain("horizon", "encodings")
    assert vendor is not None
    part = registry.load(vendor, "encodings")
    assert [w.name for w in part.writers] == ["node_info", "run_on_cpu", "quant_config"]
