"""The parts around a layer: what is in them, and that they compute what the whole models do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

from qdebug.analysis.extract import Parts, build_parts, cut_around
from qdebug.capture.session import SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.errors import ModelError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from tests.support import graphs
from tests.support.running import run_tensors

Array = npt.NDArray[Any]
ALIKE = {"images": "images"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return graphs.write_pair(tmp_path)


@pytest.fixture
def photo() -> dict[str, Array]:
    values = np.random.default_rng(1).random((1, 3, graphs.SIDE, graphs.SIDE), np.float32)
    return {"images": values}


def cut_out(
    files: tuple[Path, Path],
    tensor: str,
    feeds: Mapping[str, Array],
    context: int = 0,
    shared: Mapping[str, str] = ALIKE,
) -> Parts:
    """The parts around the layer that makes a float tensor."""
    both = load_graph(files[0]), load_graph(files[1])
    pairs = pair_graphs(*both).pairs
    types = tuple(types_for(graph, feeds, SessionSettings()) for graph in both)
    at = next(i for i, pair in enumerate(pairs) if pair.float_tensor == tensor)
    cut = cut_around(both, pairs, range(len(pairs)), at, context)
    parts = build_parts(both, (types[0], types[1]), pairs, cut, shared)
    for model in (parts.float_model, parts.quant_model):
        onnx.checker.check_model(model, full_check=True)
    return parts


def names(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node]


def input_names(model: onnx.ModelProto) -> list[str]:
    return [item.name for item in model.graph.input]


def save(model: onnx.ModelProto, file: Path) -> Path:
    file.write_bytes(model.SerializeToString())
    return file


def test_a_part_holds_the_layer_and_the_q_dq_of_its_input_weight_and_output(
    pair: tuple[Path, Path], photo: dict[str, Array]
) -> None:
    parts = cut_out(pair, "t3", photo)
    assert names(parts.float_model) == ["conv2"]
    assert set(names(parts.quant_model)) == {"t2_Q", "t2_DQ", "w2_DQ", "conv2"}
    assert input_names(parts.float_model) == input_names(parts.quant_model) == ["t2"]
    assert {t.name for t in parts.float_model.graph.initializer} == {"w2", "b2"}
    relu = cut_out(pair, "t4", photo)
    assert names(relu.quant_model) == ["relu2", "t4_Q", "t4_DQ"]
    assert (relu.float_output, relu.quant_output) == ("t4", "t4_dq")


def test_parts_give_what_an_independent_cut_gives(
    pair: tuple[Path, Path], photo: dict[str, Array]
) -> None:
    """Against onnx.utils, which cuts by tensor names and knows nothing of pairs."""
    parts = cut_out(pair, "t4", photo)
    inner = run_tensors(pair[0], photo, ["t3", "t4"])
    feeds = {"t3": inner["t3"]}
    assert np.array_equal(run_tensors(parts.float_model, feeds, ["t4"])["t4"], inner["t4"])
    whole = onnx.shape_inference.infer_shapes(onnx.load(pair[1]))
    independent = Extractor(whole).extract_model(["t3"], ["t4_dq"])
    expected = run_tensors(independent, feeds, ["t4_dq"])["t4_dq"]
    assert np.array_equal(run_tensors(parts.quant_model, feeds, ["t4_dq"])["t4_dq"], expected)
    assert not np.array_equal(inner["t4"], expected)


def test_context_takes_whole_layers_upstream_along(
    pair: tuple[Path, Path], photo: dict[str, Array]
) -> None:
    assert names(cut_out(pair, "t4", photo, 1).float_model) == ["conv2", "relu2"]
    assert names(cut_out(pair, "t4", photo, 2).float_model) == ["relu1", "conv2", "relu2"]
    everything = cut_out(pair, "t4", photo, 20)
    assert names(everything.float_model) == ["conv1", "relu1", "conv2", "relu2"]
    assert input_names(everything.quant_model) == ["images"]


def test_an_input_of_the_model_is_no_layer(
    pair: tuple[Path, Path], photo: dict[str, Array]
) -> None:
    with pytest.raises(UsageError, match="images is an input of the model"):
        cut_out(pair, "images", photo)


def test_inputs_fed_differently_stand_apart_in_both_parts(
    pair: tuple[Path, Path], photo: dict[str, Array]
) -> None:
    parts = cut_out(pair, "t1", photo, shared={})
    assert (
        input_names(parts.float_model)
        == input_names(parts.quant_model)
        == ["images", "quant_images"]
    )
    assert [(i.float_input, i.quant_input) for i in parts.inputs] == [
        ("images", None),
        (None, "images"),
    ]
    own = {"images": np.zeros_like(photo["images"]), "quant_images": photo["images"]}
    found = run_tensors(parts.quant_model, own, ["t1"])["t1"]
    assert np.array_equal(found, run_tensors(pair[1], photo, ["t1"])["t1"])


def two_branches(quantized: bool, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Two convolutions of one weight, added: several inputs, shared weights."""
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.3, (3, 3, 1, 1)).astype(np.float32)
    constants: dict[str, Any] = {"w": weight}
    nodes: list[onnx.NodeProto] = []

    def passed(name: str) -> str:
        if not quantized:
            return name
        for op, source, made in (("Q", name, f"{name}_q"), ("D", f"{name}_q", f"{name}_dq")):
            long = {"Q": "QuantizeLinear", "D": "DequantizeLinear"}[op]
            nodes.append(helper.make_node(long, [source, "s", "z"], [made], f"{name}_{op}"))
        return f"{name}_dq"

    if quantized:
        constants = {"w_q": np.round(weight / 0.01).astype(np.int8), "ws": np.float32(0.01)}
        constants |= {"wz": np.int8(0), "s": np.float32(2 / 255), "z": np.uint8(128)}
        nodes.append(helper.make_node("DequantizeLinear", ["w_q", "ws", "wz"], ["w"], "w_D"))
    image = passed("images")
    nodes.append(helper.make_node("Conv", [image, "w"], ["a"], "conv_a"))
    nodes.append(helper.make_node("Relu", [image], ["r"], "relu"))
    nodes.append(helper.make_node("Conv", [passed("r"), "w"], ["b"], "conv_b"))
    nodes.append(helper.make_node("Add", [passed("a"), passed("b")], ["sum"], "add"))
    shape = [1, 3, graphs.SIDE, graphs.SIDE]
    ends = [helper.make_tensor_value_info(n, kind, shape) for n in ("images", "sum")]
    initializers = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def test_several_inputs_and_shared_weights(tmp_path: Path, photo: dict[str, Array]) -> None:
    files = (
        save(two_branches(False), tmp_path / "f.onnx"),
        save(two_branches(True), tmp_path / "q.onnx"),
    )
    add = cut_out(files, "sum", photo)
    assert input_names(add.quant_model) == ["a", "b"]
    assert set(names(add.quant_model)) == {"a_Q", "a_D", "b_Q", "b_D", "add"}
    both = cut_out(files, "sum", photo, 1)
    assert names(both.quant_model).count("w_D") == 1
    inner = run_tensors(files[0], photo, ["r"])
    feeds = {"images": photo["images"], **inner}
    assert input_names(both.quant_model) == ["r", "images"]
    expected = run_tensors(files[0], photo, ["sum"])["sum"]
    assert np.array_equal(run_tensors(both.float_model, feeds, ["sum"])["sum"], expected)


def test_weights_in_files_of_their_own_come_along(tmp_path: Path, photo: dict[str, Array]) -> None:
    files = (
        save(two_branches(False), tmp_path / "f.onnx"),
        save(two_branches(True), tmp_path / "q.onnx"),
    )
    inside = cut_out(files, "b", photo)
    for file in files:
        onnx.save(
            onnx.load(file), file, save_as_external_data=True, location=f"{file.stem}.w",
            size_threshold=0,
        )  # fmt: skip
    outside = cut_out(files, "b", photo)
    for here, there in zip(_models(inside), _models(outside), strict=True):
        assert here.graph.node == there.graph.node
        assert _weights(here) == _weights(there)
        assert all(not t.external_data for t in there.graph.initializer)


def _models(parts: Parts) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    return parts.float_model, parts.quant_model


def _weights(model: onnx.ModelProto) -> dict[str, bytes]:
    return {tensor.name: tensor.raw_data for tensor in model.graph.initializer}


def test_a_part_of_a_part(tmp_path: Path, photo: dict[str, Array]) -> None:
    """What one extraction adds does not get in the way of the next one."""
    files = (
        save(two_branches(False), tmp_path / "f.onnx"),
        save(two_branches(True), tmp_path / "q.onnx"),
    )
    large = cut_out(files, "sum", photo, 1)
    again = (
        save(large.float_model, tmp_path / "lf.onnx"),
        save(large.quant_model, tmp_path / "lq.onnx"),
    )
    feeds = {"r": photo["images"], "images": photo["images"]}
    shared = {name: name for name in feeds}
    small = cut_out(again, "sum", feeds, shared=shared)
    assert small.quant_model.graph.node == cut_out(files, "sum", photo).quant_model.graph.node


def test_a_type_that_npz_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = two_branches(False, TensorProto.BFLOAT16)
    weight = model.graph.initializer[0]
    weight.CopyFrom(helper.make_tensor("w", TensorProto.BFLOAT16, weight.dims, [0.5] * 9))
    file = save(model, tmp_path / "b.onnx")
    both = load_graph(file), load_graph(file)
    pairs = pair_graphs(*both).pairs
    at = next(i for i, pair in enumerate(pairs) if pair.float_tensor == "sum")
    cut = cut_around(both, pairs, range(len(pairs)), at)
    with pytest.raises(ModelError, match="the layer reads a, which has type bfloat16"):
        build_parts(both, (both[0].types, both[1].types), pairs, cut, ALIKE)
