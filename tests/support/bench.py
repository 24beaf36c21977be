"""Judging a pairing of one network and one flavour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing
from tests.support.feeds import feeds_for
from tests.support.flavours import Flavour
from tests.support.flavours.quantizers import Desk
from tests.support.nets import Array, sample_inputs
from tests.support.truth import Verdict, float_values, judge, read_values


def pair_models(left: onnx.ModelProto, right: onnx.ModelProto, folder: Path) -> Pairing:
    """Pair two models by way of files, as a user would."""
    for name, model in (("float", left), ("quant", right)):
        onnx.save(model, folder / f"{name}.onnx")
    graphs = load_graph(folder / "float.onnx"), load_graph(folder / "quant.onnx")
    return pair_graphs(*graphs)


def judge_flavour(
    flavour: Flavour, model: onnx.ModelProto, folder: Path, feeds: tuple[dict[str, Array], ...] = ()
) -> Verdict:
    """Make a flavour of a network, pair the two, and compare with what their values say."""
    left, right, truth = flavour.make(model, Desk(folder, feeds))
    sample = feeds[0] if feeds else sample_inputs(left)[0]
    return judge_models(left, right, truth, sample, folder)


def judge_models(
    left: onnx.ModelProto,
    right: onnx.ModelProto,
    truth: onnx.ModelProto,
    feeds: dict[str, Array],
    folder: Path,
) -> Verdict:
    """Pair two models and compare with what the values of ``left`` and ``truth`` say."""
    pairing = pair_models(left, right, folder)
    nodes = (n for n in left.graph.node if n.op_type == "Constant")
    constants = [a.t for n in nodes for a in n.attribute if a.name == "value"]
    stored = (numpy_helper.to_array(t) for t in (*left.graph.initializer, *constants))
    weights = [value for value in stored if value.dtype == np.float32 and value.ndim > 1]
    quants = read_values(truth, feeds_for(truth, feeds), weights)
    return judge(pairing, float_values(left, feeds), quants)
