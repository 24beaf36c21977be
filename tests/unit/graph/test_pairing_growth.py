"""Pairing of many readers of one value: as much work again for twice as many, not four times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairing.score import Scorer


def _parallel(folder: Path, readers: int) -> Path:
    """One value that so many Convs read, joined again."""
    rng = np.random.default_rng(0)
    names = [f"y{at}" for at in range(readers)]
    weights = [
        numpy_helper.from_array(rng.standard_normal((2, 4, 1, 1)).astype(np.float32), f"w{at}")
        for at in range(readers)
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        *(
            helper.make_node("Conv", ["r", f"w{at}"], [name], name=f"conv{at}")
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


def test_work_grows_with_the_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    score = Scorer.score

    def counted(self: Scorer, *pair: object) -> float:
        nonlocal calls
        calls += 1
        return score(self, *pair)  # type: ignore[arg-type]

    monkeypatch.setattr(Scorer, "score", counted)
    found = []
    for readers in (100, 200):
        calls = 0
        graph = load_graph(_parallel(tmp_path, readers))
        pairing = pair_graphs(graph, graph, None)
        assert len(pairing.pairs) == readers + 3
        found.append(calls)
    assert found[1] <= 2.2 * found[0]
