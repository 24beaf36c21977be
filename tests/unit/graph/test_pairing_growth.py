"""Pairing of many readers of one value: as much work again for twice as many, not four times."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing


def _parallel(folder: Path, readers: int, named: bool) -> Path:
    """One value that so many Convs read, joined again; names of both sides agree, or none does."""
    rng = np.random.default_rng(0)
    names = [f"y{at}" if named else f"{folder.name}{at}" for at in range(readers)]
    weights = [
        numpy_helper.from_array(rng.standard_normal((2, 4, 1, 1)).astype(np.float32), f"w{at}")
        for at in range(readers)
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        *(
            helper.make_node("Conv", ["r", f"w{at}"], [name], name=f"conv{at}" if named else "")
            for at, name in enumerate(names)
        ),
        helper.make_node("Concat", names, ["out"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "parallel",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 2 * readers, 4, 4])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    file = folder / f"parallel{readers}.onnx"
    onnx.save(model, file)
    return file


def _pair_counting(left: Graph, right: Graph) -> tuple[Pairing, int]:
    """The pairing, and how many Python functions were called for it."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        pairing = pair_graphs(left, right, None)
    finally:
        sys.setprofile(before)
    return pairing, calls


@pytest.mark.parametrize("named", [True, False])
def test_work_grows_with_the_readers(tmp_path: Path, named: bool) -> None:
    found = []
    for readers in (100, 200):
        folders = [tmp_path / f"{side}{readers}" for side in ("a", "b")]
        for folder in folders:
            folder.mkdir()
        graphs = [load_graph(_parallel(folder, readers, named)) for folder in folders]
        pairing, calls = _pair_counting(*graphs)
        assert len(pairing.pairs) == readers + 3
        found.append(calls)
    assert found[1] <= 2.2 * found[0]


def test_readers_without_names_are_told_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    for folder in (one, two):
        folder.mkdir()
    model = onnx.load(_parallel(two, 60, named=False))
    convs = copy.deepcopy(list(model.graph.node[1:-1]))
    for place, at in enumerate(np.random.default_rng(1).permutation(60)):
        model.graph.node[1 + place].CopyFrom(convs[at])
    onnx.save(model, two / "shuffled.onnx")
    graphs = load_graph(_parallel(one, 60, named=False)), load_graph(two / "shuffled.onnx")
    found = {pair.float_tensor: pair.raw for pair in pair_graphs(*graphs, None).pairs}
    assert {f"a{at}": f"b{at}" for at in range(60)}.items() <= found.items()


def test_a_slope_of_zero(tmp_path: Path) -> None:
    """``alpha`` is a factor of a product only."""
    nodes = [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.0)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    graphs = load_graph(tmp_path / "m.onnx"), load_graph(tmp_path / "m.onnx")
    assert [pair.float_tensor for pair in pair_graphs(*graphs, None).pairs] == ["x", "y"]
