"""Pairing by construction: copies whose right partner is known by name."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.model import UNKNOWN
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairing.layout import Layouts, after_moved_ones
from qdebug.graph.pairing.logical import Value
from qdebug.graph.pairing.result import choose_reading
from qdebug.graph.pairs import Pairing, Quantizer
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
@example(513)  # sums of the same two values, in either order, that nothing reads
@example(932)  # products of a value with itself and with its products
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


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids=["honest", "exchanged"])
def test_a_slice_is_told_by_its_bounds_and_not_by_its_name(names: tuple[str, str]) -> None:
    """Bounds are attributes in old operator sets and inputs in newer ones."""
    old = [
        node("Slice", ["x"], [name], name, axes=[1], starts=[start], ends=[start + 2])
        for name, start in (("a", 0), ("b", 2))
    ]
    left = build([*old, *_joined("a", "b")], {"x": [1, 4]}, ["y"], opset=9)
    new = [
        node("Slice", ["x", f"at{start}", f"at{start + 2}", "axes"], [name], name)
        for name, start in zip(names, (0, 2), strict=True)
    ]
    bounds = {"at0": np.array([0]), "at2": np.array([2]), "at4": np.array([4])}
    right = build(
        [*new[::-1], *_joined(*names)], {"x": [1, 4]}, ["z"], {**bounds, "axes": np.array([1])}
    )
    found = {p.float_tensor: p.read for p in pair(left, right).pairs}
    assert (found["a"], found["b"]) == names


def _joined(first: str, second: str) -> list[onnx.NodeProto]:
    return [node("Exp", [first], ["e"]), node("Exp", [second], ["f"]),
            node("Concat", ["f", "e"], ["j"], axis=1), node("Tanh", ["j"], ["y"]),
            node("Neg", ["y"], ["z"])]  # fmt: skip


@pytest.mark.parametrize("retrained", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_equal_branches_are_told_by_what_follows_them(seed: int, retrained: bool) -> None:
    """How alike unrelated weights happen to be says nothing; how alike the same are says all."""
    model = _two_heads(seed)
    copy, names = shuffled_copy(model, seed)
    if retrained:
        rng = np.random.default_rng(seed)
        for tensor in copy.graph.initializer:
            value = numpy_helper.to_array(tensor)
            other = rng.permutation(value.reshape(-1)).reshape(value.shape)
            tensor.CopyFrom(numpy_helper.from_array(other, tensor.name))
    found = {p.float_tensor: p.read for p in pair(model, copy).pairs}
    assert found == {name: names[name] for name in found}
    assert len(found) == 1 + len(model.graph.node)


def _two_heads(seed: int) -> onnx.ModelProto:
    b = NetBuilder(seed)
    stem = b.silu(b.conv(b.input("x", [1, 3, 8, 8]), 3, 8))
    heads = []
    for classes in (4, 6):
        middle = b.silu(b.conv(b.silu(b.conv(stem, 8, 8, group=8)), 8, 8, group=8))
        heads.append(b.op("Sigmoid", b.conv(middle, 8, classes, 1)))
    return b.model(b.op("Concat", *heads, axis=1))


@pytest.mark.parametrize("dead", [0, 3])
@pytest.mark.parametrize("moved", [True, False])
def test_a_scaling_that_went_into_a_weight_makes_another_value(moved: bool, dead: int) -> None:
    """Also where some input channels of the weight are zero and tell nothing."""
    rng = np.random.default_rng(2)
    weight, factor = rng.normal(0, 1, (12, 8)), rng.uniform(0.4, 2.5, 12)
    weight[:dead] = 0
    gain = 1 / factor if moved else factor
    left = [node("Exp", ["x"], ["a"]), node("MatMul", ["a", "w"], ["y"])]
    if not moved:  # both have it
        left[1:1] = [node("Mul", ["a", "g"], ["b"])]
        left[2].input[0] = "b"
    right = [node("Exp", ["x"], ["c"]), node("Mul", ["c", "g"], ["d"]),
             node("MatMul", ["d", "w"], ["z"])]  # fmt: skip
    stored = {"w": np.float32(weight), "g": np.float32(gain)}
    other = {**stored, "w": np.float32(weight * (factor[:, None] if moved else 1))}
    found = {p.float_tensor: p.read for p in pair(
        build(left, {"x": [4, 12]}, ["y"], stored), build(right, {"x": [4, 12]}, ["z"], other)
    ).pairs}  # fmt: skip
    assert found == {"x": "x", "a": "c", "y": "z"} | ({} if moved else {"b": "d"})


def test_moved_axes_are_no_reshape() -> None:
    layouts = Layouts()
    assert layouts.reshapes((1, 6, 4), (6, 4))
    assert layouts.reshapes((24,), (6, 4))
    assert not layouts.reshapes((4, 6), (1, 6, 4))
    assert not layouts.reshapes((4, 6), (4, 7))


def test_a_turned_square_before_an_activation_has_the_layout_of_both_graphs() -> None:
    """Both turn it, one has a Relu behind that the other left to the weights' signs."""
    b = NetBuilder(6)
    x = b.op("Relu", b.conv(b.input("x", [1, 3, 8, 8]), 3, 4))
    turned = b.op("Transpose", x, perm=[0, 1, 3, 2])
    left = b.model(b.conv(b.op("Relu", turned), 4, 4))
    right = onnx.ModelProto()
    right.CopyFrom(left)
    relu = [n for n in right.graph.node if n.op_type == "Relu"][1]
    reader = next(n for n in right.graph.node if relu.output[0] in n.input)
    reader.input[0] = relu.input[0]
    right.graph.node.remove(relu)
    found = {p.float_tensor: p for p in pair(left, right).pairs}
    assert found["/Relu_1_output_0"].raw == "/Transpose_0_output_0"
    assert {p.raw_form.perm for p in found.values()} == {None}


def _exchanged(op: str, left: onnx.ModelProto) -> dict[str, str]:
    """Pairs with a copy that takes the first two operands of its only such node reversed."""
    right = onnx.ModelProto()
    right.CopyFrom(left)
    joined = next(n for n in right.graph.node if n.op_type == op)
    joined.input[:] = [joined.input[1], joined.input[0], *joined.input[2:]]
    return {p.float_tensor: p.raw for p in pair(left, right).pairs}


def test_exchanged_slices_are_paired_by_what_they_take() -> None:
    b = NetBuilder(7)
    x = b.conv(b.input("x", [1, 3, 8, 8]), 3, 4)
    slices = [
        b.op("Slice", x, b.ints(*at), b.ints(99, 99), b.ints(2, 3), b.ints(2, 2))
        for at in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    found = _exchanged("Concat", b.model(b.conv(b.op("Concat", *slices, axis=1), 16, 4)))
    assert all(found[name] == name for name in [*slices, "/Concat_0_output_0"])


def test_exchanged_sides_of_one_kind_are_paired_by_what_leads_there() -> None:
    b = NetBuilder(8)
    parts = b.op("Split", b.conv(b.input("x", [1, 3, 8, 8]), 3, 8), b.ints(4, 4), outputs=2, axis=1)
    weight = b.weight(4, 4, 3, 3)
    sides = [b.op("Tanh", b.op("Conv", part, weight, pads=[1] * 4)) for part in parts]
    found = _exchanged("Sub", b.model(b.conv(b.op("Sub", *sides), 4, 4)))
    assert all(found[name] == name for name in [*sides, "/Sub_0_output_0"])


def _behind_padding(*, explicit: bool, rolled: bool = False) -> onnx.ModelProto:
    b = NetBuilder(7)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8))
    padded = b.op("Pad", x, b.ints(0, 0, 1, 1, 0, 0, 1, 1)) if explicit else x
    weight = b.rng.normal(0, 0.4, (8, 1, 3, 3))
    bias = b.const(b.rng.normal(0, 0.2, 8))
    x = b.op(
        "Conv",
        padded,
        b.const(np.roll(weight, 1, axis=0) if rolled else weight),
        bias,
        kernel_shape=[3, 3],
        pads=[0 if explicit else 1] * 4,
        strides=[2, 2],
        group=8,
    )
    return b.model(b.conv(b.op("Relu", b.conv(b.op("Relu", x), 8, 8, 1)), 8, 4, 1))


@pytest.mark.parametrize("renamed", [False, True])
def test_rolled_weights_behind_a_folded_pad_keep_their_counterpart(renamed: bool) -> None:
    twin = _behind_padding(explicit=False, rolled=True)
    if renamed:
        twin, _ = shuffled_copy(twin, 5)
    pairing = pair(_behind_padding(explicit=True), twin)
    assert [w.node for w in pairing.weights if w.role == "weight"] == [0, 3, 5, 7]
    assert pairing.uncompared == ()


def _between(first: str, second: str, *, rolled: bool = False) -> onnx.ModelProto:
    """A convolution between two operations."""
    b = NetBuilder(7)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 12))
    values = b.rng.normal(0, 0.3, (12, 12, 3, 3))
    weight = b.const(np.roll(values, 1, axis=0) if rolled else values, "middle")
    bias = b.const(b.rng.normal(0, 0.2, 12))
    x = b.op("Conv", b.op(first, x), weight, bias, kernel_shape=[3, 3], pads=[1] * 4)
    return b.model(b.conv(b.op(second, x), 12, 4))


@pytest.mark.parametrize("renamed", [False, True])
def test_weights_without_a_matched_neighbour_are_paired_by_name_or_place(renamed: bool) -> None:
    twin = _between("Tanh", "Softplus", rolled=True)
    if renamed:
        twin, _ = shuffled_copy(twin, 5)
    pairing = pair(_between("Softsign", "Elu"), twin)
    (found,) = [w for w in pairing.weights if w.float_tensor == "middle"]
    assert found.found_by in ("name", "place", "graph")
    assert found.found_by == "place" or not renamed
    assert pairing.uncompared == ()


def test_a_weight_of_another_shape_is_left_without_a_counterpart() -> None:
    b = NetBuilder(7)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 12))
    twin = b.model(b.conv(b.op("Softplus", b.conv(b.op("Tanh", x), 12, 12, 5)), 12, 4))
    pairing = pair(_between("Softsign", "Elu"), twin)
    assert pairing.uncompared == ("/Conv_1",)


def _of_two_slices(first: int, second: int) -> onnx.ModelProto:
    """Two slices of two channels, from the given ones on, that different operators read."""
    b = NetBuilder(7)
    x = b.conv(b.input("image", [1, 3, 8, 8]), 3, 4)
    slices = [b.op("Slice", x, b.ints(at), b.ints(at + 2), b.ints(1)) for at in (first, second)]
    return b.model(b.op("Sub", b.op("Abs", slices[0]), b.op("Sigmoid", slices[1])))


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("starts", [(0, 1), (1, 0)])
def test_of_equal_slices_the_one_that_was_moved_is_told(
    starts: tuple[int, int], renamed: bool
) -> None:
    left, right = _of_two_slices(0, 0), _of_two_slices(*starts)
    names = {name: name for node in left.graph.node for name in node.output}
    if renamed:
        right, names = shuffled_copy(right, 5)
    back = {new: old for old, new in names.items()}
    for pairing, truth in ((pair(left, right), names), (pair(right, left), back)):
        assert not pairing.unpaired_float
        assert all(p.raw == truth.get(p.float_tensor, p.float_tensor) for p in pairing.pairs)


def test_equal_slices_of_both_graphs_stay_one_value() -> None:
    model = _of_two_slices(0, 0)
    pairing = pair(model, model)
    assert not pairing.unpaired_float
    assert all(p.raw == p.float_tensor for p in pairing.pairs)


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_a_value_quantized_twice_alike_has_an_alias(step: float) -> None:
    """Of many channels one is enough to differ; NumPy's text leaves out those in the middle."""
    one = Quantizer("int8", np.ones(3000, np.float32), np.zeros(3000, np.int64), 1, -128, 127)
    scale = np.array([1] * 1500 + [step] + [1] * 1499, np.float32)
    quantizers = {"raw": None, "a": one, "b": replace(one, scale=scale)}
    paths: dict[str, tuple[int, ...]] = {"raw": (), "a": (0, 1), "b": (2, 3)}
    value = Value(0, "raw", None, UNKNOWN, paths, {}, quantizers, readers={"a": 2, "b": 1})
    reading = choose_reading(value)
    assert reading.tensor == "a"
    assert reading.aliases == (("b",) if step == 1 else ())
