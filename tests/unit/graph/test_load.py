"""Reading models: broken files are named as what they are, odd but valid ones are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.errors import ModelError
from qdebug.graph.load import load_graph
from tests.support.graphs import float_model
from tests.unit.graph.conftest import Load, Write, build

node = helper.make_node
X = {"x": [1, 4]}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.onnx", b"", "is empty"),
        ("m.onnx", b"\x08\x07\x12\xff", "not a complete ONNX model"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("m.onnx", b"<!DOCTYPE html>", "is text"),
        ("m.tflite", b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        ("m.rknn", b"RKNN\x00\x01", "RKNN"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        load_graph(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_truncated_models(tmp_path: Path, share: float) -> None:
    whole = float_model().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=r"m\.onnx"):
        load_graph(tmp_path / "m.onnx")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_graph(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_graph(tmp_path)


def external(folder: Path, location: str, data: bytes | None, length: int | None = 64) -> Path:
    """A model whose one weight, 64 bytes, is kept in another file."""
    model = build([node("MatMul", ["x", "w"], ["y"])], X, ["y"])
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    weight.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": "0"}
    if length is not None:
        entries["length"] = str(length)
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    model.graph.initializer.append(weight)
    if data is not None:
        (folder / location).write_bytes(data)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_external_data_is_read_when_asked_for(tmp_path: Path) -> None:
    value = np.arange(16, dtype=np.float32).reshape(4, 4)
    graph = load_graph(external(tmp_path, "w.data", value.tobytes()))
    read = graph.constant("w")
    assert read is not None
    assert np.array_equal(read, value)
    assert graph.type_of("y").fixed_shape == (1, 4)


@pytest.mark.parametrize(
    ("location", "data", "words"),
    [
        ("w.data", None, "missing"),
        ("w.data", b"\0" * 60, "needs 64 bytes"),
        ("../w.data", None, "outside its own folder"),
        ("/etc/hostname", None, "outside its own folder"),
        ("", None, "outside its own folder"),
    ],
)
def test_external_data_that_cannot_be_trusted(
    tmp_path: Path, location: str, data: bytes | None, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        load_graph(external(tmp_path, location, data))


@pytest.mark.parametrize(("held", "length"), [(64, 63), (64, 0), (63, None), (65, None), (80, 68)])
def test_external_data_of_another_size(tmp_path: Path, held: int, length: int | None) -> None:
    with pytest.raises(ModelError, match=r"'w' has \d+ bytes, its shape and type need 64"):
        load_graph(external(tmp_path, "w.data", bytes(held), length))


def test_external_data_to_the_end_of_its_file(tmp_path: Path) -> None:
    assert (
        load_graph(external(tmp_path, "w.data", bytes(64), length=None)).constant("w") is not None
    )


def test_strings_are_never_external(tmp_path: Path) -> None:
    file = external(tmp_path, "w.data", bytes(64))
    model = onnx.load(file, load_external_data=False)
    model.graph.initializer[0].data_type = TensorProto.STRING
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="keeps strings in another file"):
        load_graph(file)


def test_external_data_behind_a_link_to_another_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "w.data").write_bytes(b"\0" * 64)
    (inside / "w.data").symlink_to(outside / "w.data")
    with pytest.raises(ModelError, match="outside its own folder"):
        load_graph(external(inside, "w.data", None))


@pytest.mark.parametrize("word", [b"Softer", b"a.domain", b"a node", b"a value", b"an attribute"])
def test_names_that_are_no_text(tmp_path: Path, word: bytes) -> None:
    made: dict[str, Any] = {"domain": "a.domain", "name": "a node", "an attribute": 1}
    nodes = [node("Softer", ["x"], ["a value"], **made), node("Relu", ["a value"], ["y"])]
    content = build(nodes, X, ["y"]).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content.replace(word, word[:-1] + b"\xff"))
    with pytest.raises(ModelError, match=r"the name b'.*' is not UTF-8"):
        load_graph(tmp_path / "m.onnx")


def test_operator_sets_and_formats_from_the_future(write: Write) -> None:
    path = write([node("Relu", ["x"], ["y"])], X, ["y"])
    model = onnx.load(path)
    model.opset_import[0].version = 9999
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="needs opset 9999"):
        load_graph(path)
    model.opset_import[0].version, model.ir_version = 17, 9999
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="IR version 9999"):
        load_graph(path)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21, onnx.defs.onnx_opset_version()])
def test_every_operator_set_from_9_on(load: Load, opset: int) -> None:
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])]
    graph = load(nodes, X, ["y"], {"w": np.ones((4, 3), np.float32)}, opset=opset)
    assert graph.opset == opset
    assert graph.type_of("y").fixed_shape == (1, 3)


def test_functions_are_inlined(load: Load) -> None:
    body = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model_nodes = [node("Twice", ["x"], ["t"], domain="own"), node("Relu", ["t"], ["y"])]
    graph = load(model_nodes, X, ["y"], functions=[body])
    assert [n.op for n in graph.nodes] == ["Add", "Relu"]
    assert graph.type_of("y").fixed_shape == (1, 4)


def test_a_node_that_waits_for_its_own_result_is_named(write: Write) -> None:
    loop = [node("Add", ["x", "b"], ["a"], "one"), node("Relu", ["a"], ["b"], "two")]
    path = write([*loop, node("Neg", ["b"], ["y"])], X, ["y"])
    with pytest.raises(ModelError, match="waits for its own result: the graph has a cycle"):
        load_graph(path)


def test_nodes_out_of_order_unnamed_and_with_empty_optional_names(load: Load) -> None:
    nodes = [
        node("Add", ["r", "x"], ["y"]),
        node("Clip", ["x", "", "high"], ["r"]),
        node("Dropout", ["x"], ["unused", ""]),
    ]
    graph = load(nodes, X, ["y"], {"high": np.float32(6)})
    assert [n.op for n in graph.nodes] == ["Clip", "Dropout", "Add"]
    assert [n.label for n in graph.nodes] == ["r", "unused", "y"]
    assert [n.op for n in graph.consumer_nodes("x")] == ["Clip", "Dropout", "Add"]
    assert "" not in graph.producer


def test_initializers_listed_as_inputs_are_constants(write: Write) -> None:
    path = write([node("Add", ["x", "w"], ["y"])], {**X, "w": [4]}, ["y"], {"w": np.ones(4, "f4")})
    graph = load_graph(path)
    assert graph.inputs == ["x"]
    assert graph.is_constant("w")


def test_bodies_of_control_flow_read_from_outside(load: Load) -> None:
    def branch(name: str, op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 4])
        return helper.make_graph([node(op, ["m", "m"], [f"{name}_y"])], name, [], [out])

    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("If", ["flag"], ["y"], then_branch=branch("a", "Add"), else_branch=branch("b", "Mul")),
    ]
    graph = load(nodes, X, ["y"], {"w": np.eye(4, dtype=np.float32), "flag": np.True_})
    assert graph.nodes[1].outer_inputs == ("m",)
    assert [n.op for n in graph.readers["m"]] == ["If"]
    assert graph.ancestors(["y"]) == {0, 1}
    assert graph.ancestors(["y"], stop={"m"}) == {1}


def test_scalars_strings_and_tensors_of_size_zero(load: Load) -> None:
    constants = {
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.float32(2),
        "text": np.asarray(["a", "b"], object),
    }
    nodes = [
        node("Concat", ["x", "empty"], ["c"], axis=0),
        node("Mul", ["c", "scalar"], ["y"]),
        node("Identity", ["text"], ["t"]),
    ]
    graph = load(nodes, X, ["y", "t"], constants)
    assert graph.type_of("y").fixed_shape == (1, 4)
    assert graph.type_of("t").dtype == "string"
    assert graph.type_of("scalar").fixed_shape == ()
    text = graph.constant("text")
    assert text is not None
    assert [item.decode() if isinstance(item, bytes) else item for item in text] == ["a", "b"]


def test_constant_nodes_of_every_kind(load: Load) -> None:
    tensor = numpy_helper.from_array(np.arange(3))
    nodes = [
        node("Constant", [], ["a"], value=tensor),
        node("Constant", [], ["b"], value_float=0.5),
        node("Constant", [], ["c"], value_ints=[1, 2]),
        node("Relu", ["x"], ["y"]),
    ]
    graph = load(nodes, X, ["y"])
    values = {name: graph.constant(name) for name in "abcx"}
    assert values["x"] is None
    assert [np.asarray(values[name]).tolist() for name in "abc"] == [[0, 1, 2], 0.5, [1, 2]]
