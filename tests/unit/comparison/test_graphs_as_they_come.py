"""Graphs of every kind through the whole comparison: each against a twin with other weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdebug
from qdebug.run.model import Run

Array = npt.NDArray[Any]
FLOAT, INT64, BOOL, STRING = (
    TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING,
)  # fmt: skip
node, info = helper.make_node, helper.make_tensor_value_info


def weight(name: str, shape: tuple[int, ...], noise: float, seed: int = 0) -> onnx.TensorProto:
    """A constant; ``noise`` tells the twin from the reference."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal(shape) + noise * rng.standard_normal(shape)
    return numpy_helper.from_array(value.astype(np.float32), name)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto] = [],  # noqa: B006
    opset: int = 17,
    **more: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **more)
    made.ir_version = 8
    return made


class Bench:
    """Saves a pair of models and an input, and compares."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, build: Any, feeds: dict[str, Array], **options: Any) -> Run:
        for name, noise in (("float", 0.0), ("quant", 0.01)):
            onnx.save(build(noise), str(self.folder / f"{name}.onnx"))
        np.savez(self.folder / "in.npz", **feeds)  # type: ignore[arg-type]
        return qdebug.compare(
            self.folder / "float.onnx",
            self.folder / "quant.onnx",
            self.folder / "in.npz",
            **options,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


X = np.random.default_rng(7).standard_normal((1, 4)).astype(np.float32)


def tensors(run: Run) -> list[str]:
    return [layer.float_tensor for layer in run.layers]


def test_several_inputs_and_outputs(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["a", "w"], ["m"]), node("Add", ["m", "b"], ["sum"]),
             node("Relu", ["sum"], ["y"])],
            [info("a", FLOAT, [1, 4]), info("b", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4]), info("m", FLOAT, [1, 4])],
            [weight("w", (4, 4), noise)],
        )  # fmt: skip

    run = bench.run(build, {"a": X, "b": X})
    assert {o.name for o in run.outputs} == {"y", "m"}
    assert {"m", "sum", "y"} <= set(tensors(run))
    assert all(o.accumulated is not None and o.accumulated.sqnr_db < 80 for o in run.outputs)


def test_dynamic_shapes_that_change_from_sample_to_sample(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["y"])],
            [info("x", FLOAT, ["n", 3, "h", "w"])],
            [info("y", FLOAT, None)],
            [weight("w", (5, 3, 3, 3), noise)],
        )

    for name, noise in (("float", 0.0), ("quant", 0.01)):
        onnx.save(build(noise), str(bench.folder / f"{name}.onnx"))
    files: list[Path] = []
    for side in (8, 11, 8):
        files.append(bench.folder / f"{len(files)}.npy")
        np.save(files[-1], np.random.default_rng(side).random((1, 3, side, side), np.float32))
    run = qdebug.compare(bench.folder / "float.onnx", bench.folder / "quant.onnx", files)
    layer = run.layer("y")
    assert len(layer.sample_sqnr_db) == 3
    assert layer.accumulated is not None and 20 < layer.accumulated.sqnr_db < 60


def test_integers_bools_and_strings_are_not_compared_and_say_so(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["x", "w"], ["m"]), node("ArgMax", ["m"], ["i"], axis=1),
             node("Cast", ["i"], ["text"], to=STRING), node("Greater", ["m", "zero"], ["mask"]),
             node("Where", ["mask", "m", "zero"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, None), info("i", INT64, None), info("text", STRING, None)],
            [weight("w", (4, 4), noise), numpy_helper.from_array(np.zeros((), np.float32), "zero")],
        )  # fmt: skip

    run = bench.run(build, {"x": X})
    reasons = {item.tensor: item.reason for item in run.unpaired.float}
    assert {"i", "text", "mask"} <= reasons.keys()
    assert all("not compared" in reasons[name] for name in ("i", "text", "mask"))
    assert {"m", "y"} <= set(tensors(run))
    states = {o.name: o.state for o in run.outputs}
    assert states["i"] == states["text"] == "not_compared"


def test_bodies_of_if_are_run_and_their_outputs_compared(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        def branch(name: str, op: str) -> onnx.GraphProto:
            inner = [node(op, ["m", "m"], [f"{name}_out"])]
            return helper.make_graph(inner, name, [], [info(f"{name}_out", FLOAT, None)])

        return model(
            [node("MatMul", ["x", "w"], ["m"]), node("ReduceSum", ["m"], ["s"], keepdims=0),
             node("Greater", ["s", "zero"], ["positive"]),
             node("If", ["positive"], ["chosen"], then_branch=branch("then", "Add"),
                  else_branch=branch("else", "Mul")),
             node("Relu", ["chosen"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, None)],
            [weight("w", (4, 4), noise), numpy_helper.from_array(np.zeros((), np.float32), "zero")],
        )  # fmt: skip

    run = bench.run(build, {"x": X}, max_memory=64)
    assert {"m", "chosen", "y"} <= set(tensors(run))
    assert any("If" in note for note in run.notes)


def test_a_loop(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        body = helper.make_graph(
            [node("Identity", ["going"], ["still"]), node("MatMul", ["state", "w"], ["next"])],
            "body",
            [info("turn", INT64, []), info("going", BOOL, []), info("state", FLOAT, None)],
            [info("still", BOOL, []), info("next", FLOAT, None)],
        )
        return model(
            [node("Loop", ["turns", "", "x"], ["looped"], body=body),
             node("Relu", ["looped"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, None)],
            [weight("w", (4, 4), noise), numpy_helper.from_array(np.array(3, np.int64), "turns")],
        )  # fmt: skip

    run = bench.run(build, {"x": X})
    assert run.layer("looped").accumulated is not None


def test_functions_are_inlined(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        function = helper.make_function(
            "local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])],
            [helper.make_opsetid("", 17)],
        )  # fmt: skip
        made = model(
            [node("MatMul", ["x", "w"], ["m"]), node("Twice", ["m"], ["y"], domain="local")],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4])],
            [weight("w", (4, 4), noise)],
            functions=[function],
        )
        made.opset_import.append(helper.make_opsetid("local", 1))
        return made

    assert run_is_complete(bench.run(build, {"x": X}), {"m", "y"})


def run_is_complete(run: Run, names: set[str]) -> bool:
    found = {layer.float_tensor for layer in run.layers if layer.accumulated is not None}
    return names <= found


def test_absent_optional_inputs_and_nameless_nodes(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("Clip", ["x", "", "high"], ["c"]), node("MatMul", ["c", "w"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4])],
            [weight("w", (4, 4), noise), numpy_helper.from_array(np.array(1, np.float32), "high")],
        )

    assert run_is_complete(bench.run(build, {"x": X}), {"c", "y"})


def test_an_output_that_is_also_an_input(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["x", "w"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4]), info("x", FLOAT, [1, 4])],
            [weight("w", (4, 4), noise)],
        )

    run = bench.run(build, {"x": X})
    assert {o.name: o.state for o in run.outputs} == {"y": "ok", "x": "identical"}


def test_scalars_and_nothing_at_all(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["x", "w"], ["m"]), node("ReduceMean", ["m"], ["mean"], keepdims=0),
             node("Slice", ["m", "two", "two"], ["empty"]),
             node("Concat", ["m", "empty"], ["joined"], axis=0),
             node("Mul", ["joined", "mean"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, None)],
            [weight("w", (4, 4), noise), numpy_helper.from_array(np.array([2], np.int64), "two")],
        )  # fmt: skip

    run = bench.run(build, {"x": X})
    assert run.layer("mean").shape == ()
    assert run.layer("empty").state in ("identical", "zero_both", "not_compared")
    assert run_is_complete(run, {"m", "joined", "y"})


def test_external_weights(bench: Bench) -> None:
    for name, noise in (("float", 0.0), ("quant", 0.01)):
        made = model(
            [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])],
            [info("x", FLOAT, [1, 64])],
            [info("y", FLOAT, [1, 64])],
            [weight("w", (64, 64), noise)],
        )
        onnx.save(
            made, str(bench.folder / f"{name}.onnx"), save_as_external_data=True,
            location=f"{name}.bin", size_threshold=0,
        )  # fmt: skip
    file = bench.folder / "x.npy"
    np.save(file, np.random.default_rng(0).random((1, 64), np.float32))
    run = qdebug.compare(bench.folder / "float.onnx", bench.folder / "quant.onnx", file)
    assert run_is_complete(run, {"m", "y"})


def test_a_graph_against_itself_is_identical_throughout(bench: Bench) -> None:
    def build(_noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4])],
            [weight("w", (4, 4), 0.0)],
        )

    run = bench.run(build, {"x": X})
    assert {layer.state for layer in run.layers} == {"identical"}
    assert run.verdict.status in ("pass", "warn")


def test_sensitivity_of_a_plain_graph(bench: Bench) -> None:
    def build(noise: float) -> onnx.ModelProto:
        return model(
            [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["r"]),
             node("MatMul", ["r", "v"], ["y"])],
            [info("x", FLOAT, [1, 4])],
            [info("y", FLOAT, [1, 4])],
            [weight("w", (4, 4), noise), weight("v", (4, 4), 0.0, seed=1)],
        )  # fmt: skip

    run = bench.run(build, {"x": X}, sensitivity=True)
    first, last = run.layer("m").sensitivity, run.layer("y").sensitivity
    assert first is not None and 10 < first.sqnr_db < 80
    assert last is not None and last.sqnr_db == float("inf")


def gated(noise: float) -> onnx.ModelProto:
    """A recurrent layer, which the reverse pass does not go through, between two products."""
    recurrent = node("GRU", ["m", "g", "h"], ["", "s"], name="memory", hidden_size=4)
    return model(
        [node("MatMul", ["x", "w"], ["m"]), recurrent, node("MatMul", ["s", "v"], ["y"])],
        [info("x", FLOAT, [3, 1, 4])],
        [info("y", FLOAT, [1, 1, 4])],
        [
            weight("w", (4, 4), noise),
            weight("g", (1, 12, 4), 0.0, seed=2),
            weight("h", (1, 12, 4), 0.0, seed=3),
            weight("v", (4, 4), noise, seed=1),
        ],
    )


def test_what_the_reverse_pass_does_not_reach_is_run_alone(bench: Bench) -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 1, 4)).astype(np.float32)}
    run = bench.run(gated, feeds, sensitivity=True)
    first, last = run.layer("m").sensitivity, run.layer("y").sensitivity
    assert first is not None and first.method == "exact"
    assert last is not None and last.method == "first-order"
    notes = [text for text in run.notes if text.startswith("sensitivity: ")]
    assert "--sensitivity exact runs every layer alone" in notes[0]
    assert "were run alone" in notes[1] and "memory (GRU)" in notes[1]
    shares = [layer.sensitivity.share or 0 for layer in run.layers if layer.sensitivity]
    assert sum(shares) == pytest.approx(1)


def test_exact_sensitivity_runs_every_layer(bench: Bench) -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 1, 4)).astype(np.float32)}
    run = bench.run(gated, feeds, sensitivity="exact")
    measured = [layer.sensitivity for layer in run.layers if layer.sensitivity]
    assert measured and {found.method for found in measured} == {"exact"}
    assert not any(text.startswith("sensitivity: ") for text in run.notes)
