"""Encodings written into a float graph: what the twin holds, and what becomes of each entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from qdebug.encodings import Encoding, Encodings, Entry, apply_encodings
from qdebug.encodings.extraction import extract_encodings
from qdebug.encodings.rules import Rules
from qdebug.encodings.weights import symmetric
from qdebug.graph.model import Graph
from tests.support.graphs import SIDE, float_model, qdq_model
from tests.support.nets import NetBuilder
from tests.support.running import run_tensors

Array = npt.NDArray[Any]


def feed() -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {"images": rng.uniform(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)}


def run_model(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    return list(run_tensors(model, feeds, [o.name for o in model.graph.output]).values())


def graph_of(model: onnx.ModelProto) -> Graph:
    from qdebug.graph.shapes import infer_types

    graph = Graph(model, Path("model.onnx"), "")
    graph.types = infer_types(graph)
    return graph


def entry(name: str, dtype: str = "uint8", scale: Any = 1 / 255, **rest: Any) -> Entry:
    return Entry(name, Encoding.linear(dtype, scale), **rest)


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_what_a_graph_says_applied_to_the_float_graph_is_that_graph() -> None:
    twin = qdq_model()
    encodings = extract_encodings(graph_of(twin))
    renamed = Encodings(
        tuple(Entry(e.name.removesuffix("_q"), e.encoding, e.kind) for e in encodings.entries)
    )
    made = apply_encodings(float_model(), renamed)
    assert made.placed == len(renamed.entries) == 7
    (ours,), (theirs,) = (run_model(m, feed()) for m in (made.model, twin))
    assert (ours == theirs).all()


def test_an_output_keeps_its_name_and_everyone_reads_the_quantized_value() -> None:
    made = apply_encodings(float_model(), Encodings((entry("scores", "int8", 0.05),)))
    assert [o.name for o in made.model.graph.output] == ["scores"]
    assert made.model.graph.node[-1].op_type == "DequantizeLinear"
    (value,) = run_model(made.model, feed())
    steps = value / np.float32(0.05)
    assert np.abs(steps - np.rint(steps)).max() < 1e-5


def test_only_the_named_readers_read_the_quantized_value() -> None:
    net = NetBuilder(3)
    x = net.input("x", (1, 4))
    relu = net.op("Relu", x)
    model = net.model(net.op("Neg", relu), net.op("Abs", relu))
    only = entry(relu, readers=("/Neg_0",))
    made = apply_encodings(model, Encodings((only,))).model
    reads = {node.op_type: node.input[0] for node in made.graph.node}
    assert reads["Neg"].endswith("_DequantizeLinear_Output")
    assert reads["Abs"] == relu


def test_narrow_types_raise_the_opset() -> None:
    made = apply_encodings(float_model(), Encodings((entry("t2", "int4", 4 / 7),)))
    assert made.model.opset_import[0].version >= 21
    onnx.checker.check_model(made.model, full_check=True)
    assert np.isfinite(run_model(made.model, feed())[0]).all()


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_wide_types_take_onnx_runtimes_own_operators(dtype: str) -> None:
    """As its quantizer has them; what has 8 bits does not, and shapes are known behind both."""
    given = Encodings((entry("t2", dtype, 4 / 32767), entry("t4")))
    made = apply_encodings(float_model(), given).model
    domains = {
        n.output[0].split("_")[0]: n.domain for n in made.graph.node if "Linear" in n.op_type
    }
    assert domains == {"t2": "com.microsoft", "t4": ""}
    assert made.opset_import[0].version == 13
    onnx.checker.check_model(made, full_check=True)
    assert {"t2_DequantizeLinear_Output", "t3", "t6"} <= {
        item.name for item in made.graph.value_info
    }
    assert np.isfinite(run_model(made, feed())[0]).all()


def test_a_model_that_cannot_be_converted_takes_onnx_runtimes_own_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qdebug.encodings.opsets._converted", lambda model, opset: None)
    made = apply_encodings(float_model(opset=13), Encodings((entry("t2", "int16", 1e-4),))).model
    domains = {n.domain for n in made.graph.node if n.op_type.endswith("Linear")}
    assert domains == {"com.microsoft"}
    assert np.isfinite(run_model(made, feed())[0]).all()


def test_old_opsets_are_raised_for_channels() -> None:
    encoding = Encoding.linear("int8", np.full(8, 0.01), 0)
    model = float_model(opset=11)
    made = apply_encodings(model, Encodings((Entry("w2", encoding, "weight"),))).model
    assert made.opset_import[0].version == 13
    assert np.isfinite(run_model(made, feed())[0]).all()
    assert model.opset_import[0].version == 11


def test_the_axis_of_a_weights_scales_follows_its_operator() -> None:
    model = float_model()
    scale = np.linspace(0.01, 0.02, 4)
    made = apply_encodings(model, Encodings((Entry("w3", Encoding.linear("int8", scale)),))).model
    (node,) = (n for n in made.graph.node if n.op_type == "DequantizeLinear")
    assert [a.i for a in node.attribute if a.name == "axis"] == [0]  # Gemm with transB
    codes = next(t for t in made.graph.initializer if t.name == "w3_quantized")
    weight = next(t for t in model.graph.initializer if t.name == "w3")
    expected = np.rint(numpy_helper.to_array(weight) / scale.astype(np.float32)[:, None])
    assert (numpy_helper.to_array(codes) == expected).all()


def test_codes_take_their_own_bytes_and_no_more() -> None:
    """A negative number takes ten bytes in a field of ONNX that holds numbers one by one."""
    model = apply_encodings(float_model(), Encodings(()), Rules(weights=symmetric("int8"))).model
    codes = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert any((numpy_helper.to_array(t) < 0).any() for t in codes)
    assert all(len(t.raw_data) == numpy_helper.to_array(t).nbytes for t in codes)


def test_weights_without_an_entry_follow_the_rules() -> None:
    rules = Rules(weights=symmetric("int8"), integer_bias=True)
    encodings = Encodings((entry("images"), entry("t2", scale=0.01)))
    made = apply_encodings(float_model(), encodings, rules).model
    held = {t.name: t.data_type for t in made.graph.initializer}
    assert {n for n in held if n.startswith("w")} == {
        f"w{i}_{part}" for i in (1, 2, 3) for part in ("quantized", "scale", "zero_point")
    }
    assert held["b1_quantized"] == onnx.TensorProto.INT32
    assert "b3_quantized" not in held  # the Gemm's input has no scale
    plain = apply_encodings(float_model(), encodings).model
    assert "w1" in {t.name for t in plain.graph.initializer}


def test_a_node_kept_in_float_keeps_its_weight_and_reads_float_neighbours_raw() -> None:
    rules = Rules(weights=symmetric("int8"), fuses=frozenset({"Relu"}))
    floats = [Entry(name, Encoding("float16"), "node") for name in ("conv2", "relu2")]
    tensors = [entry(t, scale=0.01) for t in ("images", "t2", "t4")]
    made = apply_encodings(float_model(), Encodings((*tensors, *floats)), rules)
    held = {t.name for t in made.model.graph.initializer}
    assert {"w2", "w1_quantized"} <= held
    assert "w2_quantized" not in held
    assert made.reasons() == {}


def test_an_entry_before_a_fused_activation_is_not_used() -> None:
    rules = Rules(fuses=frozenset({"Relu"}))
    made = apply_encodings(float_model(), Encodings((entry("t1"), entry("t2"))), rules)
    assert made.reasons() == {"Relu is computed with what is before it": 1}
    assert ops(made.model).count("QuantizeLinear") == 1
    assert "is never written: Relu is computed with what is before it" in {
        rest.reason for rest in made.rest if rest.tensor == "t1"
    }


def test_entries_without_a_place_say_why() -> None:
    wrong = Entry("w1", Encoding.linear("int8", np.full(5, 0.1)), "weight")
    empty = Entry("w3", Encoding.linear("int8", np.zeros(0)), "weight")
    made = apply_encodings(float_model(), Encodings((entry("nowhere"), wrong, empty)))
    assert [p.reason for p in made.placements] == [
        "no tensor has that name",
        "5 scales for [8, 3, 3, 3] channels",
        "its list of scales is empty",
    ]
    assert made.placed == 0


def test_a_scale_to_read_with_that_is_not_the_one_to_write_with() -> None:
    even = Encoding.linear(
        "int8", np.full(8, 0.02), 0, 1, dequantize_scale=np.asarray(0.04, np.float32)
    )
    made = apply_encodings(float_model(), Encodings((Entry("t2", even),))).model
    scales = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer if "scale" in t.name}
    assert scales["t2_dequantize_scale"].shape == ()
    assert scales["t2_scale"].shape == (8,)
    again = extract_encodings(graph_of(made)).entries
    assert again == (Entry("t2", even),)


def test_a_narrow_range_never_gives_the_lowest_code() -> None:
    narrow = Encoding.linear("int8", 0.001, narrow=True)
    made = apply_encodings(float_model(), Encodings((Entry("scores", narrow),))).model
    values = run_model(made, {"images": -1e3 * feed()["images"]})[0]
    assert values.min() >= np.float32(-127 * 0.001)


def test_the_model_that_is_given_is_not_changed() -> None:
    model = float_model()
    before = model.SerializeToString()
    rules = Rules(simplify=True, weights=symmetric("int8"), integer_bias=True)
    apply_encodings(model, Encodings((entry("images"), entry("t2"))), rules)
    assert model.SerializeToString() == before


def test_a_normalization_goes_into_the_weights_where_the_toolchain_does_that() -> None:
    net = NetBuilder(5)
    x = net.input("x", (1, 3, 8, 8))
    conv = net.conv(x, 3, 4)
    model = net.model(net.batch_norm(conv, 4))
    out = model.graph.output[0].name
    rules = Rules(simplify=True, weights=symmetric("int8"))
    made = apply_encodings(model, Encodings((entry("x"), entry(out, scale=0.05))), rules)
    assert "BatchNormalization" not in ops(made.model)
    assert made.placed == 2


def test_what_a_float_node_makes_stays_real_for_whoever_takes_no_codes() -> None:
    """An output of a layer in float is not coded; a reader in codes still gets them."""
    kept = Entry("fc", Encoding("float16"), "node")
    made = apply_encodings(float_model(), Encodings((entry("t4"), entry("scores"), kept)))
    producer = {out: n.op_type for n in made.model.graph.node for out in n.output}
    assert producer["scores"] == "Gemm"
    coded = apply_encodings(float_model(), Encodings((entry("t4"), entry("scores"))))
    producer = {out: n.op_type for n in coded.model.graph.node for out in n.output}
    assert producer["scores"] == "DequantizeLinear"
    inner = Entry("relu2", Encoding("float16"), "node")
    made = apply_encodings(float_model(), Encodings((entry("t4"), inner)))
    assert "t4_DequantizeLinear_Output" in {n for node in made.model.graph.node for n in node.input}
