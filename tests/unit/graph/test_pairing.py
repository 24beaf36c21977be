"""Pairing by construction: copies whose right partner is known by name."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairing.layout import Layouts, after_moved_ones
from qdebug.graph.pairs import Pairing
from tests.support.nets import NETS, NetBuilder, sample_inputs
from tests.support.truth import run
from tests.unit.graph.conftest import Load, build

node = helper.make_node


def shuffled_copy(model: onnx.ModelProto, seed: int) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A copy with every tensor and node renamed and nodes in another valid order."""
    rng = random.Random(seed)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    inputs = {i.name for i in made.graph.input}
    tensors = [name for n in made.graph.node for name in (*n.input, *n.output)]
    names = {name: name if name in inputs or not name else f"t{rng.random()}" for name in tensors}
    for n in made.graph.node:
        n.name = f"n{rng.random()}"
        n.input[:] = [names[name] for name in n.input]
        n.output[:] = [names[name] for name in n.output]
    for item in (*made.graph.initializer, *made.graph.output):
        item.name = names[item.name]
    known, waiting, order = set(names.values()), list(made.graph.node), []
    known -= {name for n in waiting for name in n.output}
    while waiting:
        ready = [n for n in waiting if all(name in known for name in n.input)]
        chosen = rng.choice(ready)
        known.update(chosen.output)
        waiting.remove(chosen)
        order.append(chosen)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(order)
    return made, names


def pair(left: onnx.ModelProto, right: onnx.ModelProto) -> Pairing:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        onnx.save(left, folder / "float.onnx")
        onnx.save(right, folder / "quant.onnx")
        return pair_graphs(load_graph(folder / "float.onnx"), load_graph(folder / "quant.onnx"))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(NETS)), st.integers(0, 10_000))
def test_a_renamed_shuffled_copy_gives_the_identity(net: str, seed: int) -> None:
    model = NETS[net]()
    copy, names = shuffled_copy(model, seed)
    pairing = pair(model, copy)
    assert {p.float_tensor: p.read for p in pairing.pairs} == {
        p.float_tensor: names[p.float_tensor] for p in pairing.pairs
    }
    computed = {name for n in model.graph.node for name in n.output}
    assert len(pairing.pairs) >= 0.98 * len(computed)
    assert all(p.read_form.perm is None and p.quantizer is None for p in pairing.pairs)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_random_chains_with_equal_branches(seed: int) -> None:
    """Equal operations on equal operands are the same value, whichever is taken."""
    model = random_net(seed)
    copy, _ = shuffled_copy(model, seed + 1)
    pairing = pair(model, copy)
    feeds = sample_inputs(model)[0]
    mine = run(model, feeds, [p.float_tensor for p in pairing.pairs])
    theirs = run(copy, feeds, [p.read for p in pairing.pairs])
    assert all(np.allclose(mine[p.float_tensor], theirs[p.read]) for p in pairing.pairs)
    assert len(pairing.pairs) >= 0.9 * len(model.graph.node)


def random_net(seed: int) -> onnx.ModelProto:
    """Convolutions and activations in branches of equal shape, joined at random."""
    rng = random.Random(seed)
    b = NetBuilder(seed)
    ends = [b.conv(b.input("x", [1, 3, 8, 8]), 3, 8)]
    for _ in range(rng.randint(4, 12)):
        end = rng.choice(ends[-3:])
        kind = rng.choice(["conv", "relu", "sigmoid", "add", "mul"])
        if kind == "conv":
            ends.append(b.conv(end, 8, 8, rng.choice([1, 3])))
        elif kind in ("add", "mul"):
            ends.append(b.op(kind.title(), end, rng.choice(ends)))
        else:
            ends.append(b.op(kind.title(), end))
    return b.model(ends[-1])


def test_every_float_tensor_is_paired_or_has_a_reason(load: Load) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("ArgMax", ["r"], ["index"], axis=1),
        node("Greater", ["r", "zero"], ["mask"]),
        node("Where", ["mask", "r", "zero"], ["y"]),
    ]
    graph = load(nodes, {"x": [1, 4]}, ["y", "index"], {"zero": np.float32(0)})
    pairing = pair_graphs(graph, graph)
    assert {p.float_tensor for p in pairing.pairs} == {"x", "r", "y"}
    assert {u.tensor: u.reason for u in pairing.unpaired_float} == {
        "index": "int64, not compared", "mask": "bool, not compared",
    }  # fmt: skip


def test_bodies_are_mentioned(load: Load) -> None:
    out = helper.make_tensor_value_info("o", 1, [1, 4])
    body = helper.make_graph([node("Add", ["x", "x"], ["o"])], "body", [], [out])
    nodes = [node("If", ["c"], ["y"], "choice", then_branch=body, else_branch=body)]
    graph = load(nodes, {"x": [1, 4]}, ["y"], {"c": np.True_})
    assert any("'choice'" in note for note in pair_graphs(graph, graph).notes)


def test_networks_that_share_nothing_but_the_input() -> None:
    left = build([node("Relu", ["x"], ["a"]), node("Tanh", ["a"], ["y"])], {"x": [1, 4]}, ["y"])
    right = build([node("Exp", ["x"], ["b"]), node("Sqrt", ["b"], ["z"])], {"x": [1, 4]}, ["z"])
    assert {p.float_tensor for p in pair(left, right).pairs} <= {"x", "y"}
    assert "a" not in {p.float_tensor for p in pair(left, right).pairs}


@pytest.mark.parametrize("slope", [1.0, 1.702])
def test_a_fused_swish_is_its_parts(slope: float) -> None:
    nodes = [node("Mul", ["x", "k"], ["k_x"]), node("Sigmoid", ["k_x"], ["gate"]),
             node("Mul", ["x", "gate"], ["s"]), node("Tanh", ["s"], ["y"])]  # fmt: skip
    left = build(nodes, {"x": [1, 4]}, ["y"], {"k": np.float32(slope)})
    fused = node("QuickGelu", ["x"], ["f"], domain="com.microsoft", alpha=slope)
    right = build([fused, node("Tanh", ["f"], ["z"])], {"x": [1, 4]}, ["z"])
    found = {p.float_tensor: p.read for p in pair(left, right).pairs}
    assert found["s"] == "f"
    other = node("QuickGelu", ["x"], ["f"], domain="com.microsoft", alpha=slope + 0.5)
    apart = build([other, node("Exp", ["f"], ["z"])], {"x": [1, 4]}, ["z"])
    assert "s" not in {p.float_tensor for p in pair(left, apart).pairs}


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.lists(st.sampled_from([1, 2, 3, 5]), min_size=4, max_size=4))
def test_layout_behind_squeezes_is_that_of_the_values(perm: list[int], dims: list[int]) -> None:
    right = np.arange(np.prod(dims)).reshape(dims)
    left = right.transpose(perm)
    squeezed = (
        right.reshape([d for d in dims if d != 1]),
        left.reshape([d for d in left.shape if d != 1]),
    )
    found, after = after_moved_ones(
        tuple(perm), (right.shape, squeezed[0].shape), squeezed[1].shape
    )
    assert found
    moved = squeezed[0] if after is None else squeezed[0].transpose(after)
    assert np.array_equal(moved, squeezed[1])


def test_moved_axes_are_no_reshape() -> None:
    layouts = Layouts()
    assert layouts.reshapes((1, 6, 4), (6, 4))
    assert layouts.reshapes((24,), (6, 4))
    assert not layouts.reshapes((4, 6), (1, 6, 4))
    assert not layouts.reshapes((4, 6), (4, 7))
