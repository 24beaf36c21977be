"""Judging a pairing of one network and one flavour."""

from __future__ import annotations

from pathlib import Path

import onnx

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing
from tests.support.flavours import Flavour
from tests.support.nets import sample_inputs
from tests.support.truth import Verdict, feeds_for, judge, read_values, run_all


def pair_models(left: onnx.ModelProto, right: onnx.ModelProto, folder: Path) -> Pairing:
    """Pair two models by way of files, as a user would."""
    for name, model in (("float", left), ("quant", right)):
        onnx.save(model, folder / f"{name}.onnx")
    graphs = load_graph(folder / "float.onnx"), load_graph(folder / "quant.onnx")
    return pair_graphs(*graphs)


def judge_flavour(flavour: Flavour, model: onnx.ModelProto, folder: Path) -> Verdict:
    """Make a flavour of a network, pair the two, and compare with what their values say."""
    left, right, truth = flavour.make(model, folder)
    pairing = pair_models(left, right, folder)
    feeds = sample_inputs(left)[0]
    graph = load_graph(folder / "float.onnx")
    floats, quants = run_all(left, feeds), read_values(truth, feeds_for(truth, feeds))
    return judge(pairing, graph, floats, quants)
