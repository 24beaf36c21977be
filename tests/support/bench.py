"""Judging a pairing of one network and one flavour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import numpy_helper

from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.errors import ModelError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.pairing import Probe, pair_graphs
from qdebug.graph.pairs import Pairing
from tests.support.feeds import feeds_for
from tests.support.flavours import Flavour
from tests.support.flavours.quantizers import Desk
from tests.support.nets import Array, sample_inputs
from tests.support.truth import Distances, Verdict, float_values, judge, read_values


def pairings(
    left: onnx.ModelProto, right: onnx.ModelProto, feeds: dict[str, Array], folder: Path
) -> Iterator[Pairing]:
    """Pair two models by way of files, as a user would: by structure alone, then with values."""
    for name, model in (("float", left), ("quant", right)):
        onnx.save(model, folder / f"{name}.onnx")
    graphs = load_graph(folder / "float.onnx"), load_graph(folder / "quant.onnx")
    yield pair_graphs(*graphs)
    with suppress(ModelError):  # no runtime here has the quant graph's operators: no values
        yield pair_graphs(*graphs, _probe(graphs, (feeds, feeds_for(right, feeds))))


def _probe(graphs: tuple[Graph, Graph], feeds: tuple[dict[str, Array], dict[str, Array]]) -> Probe:
    fetchers = [Fetcher(graph, SessionSettings()) for graph in graphs]

    def probe(side: Literal["float", "quant"], tensors: Sequence[str]) -> Mapping[str, Array]:
        number = 0 if side == "float" else 1
        return fetchers[number].values(tensors, feeds[number])

    return probe


def judge_flavour(
    flavour: Flavour, model: onnx.ModelProto, folder: Path, feeds: tuple[dict[str, Array], ...] = ()
) -> Verdict:
    """Make a flavour of a network, pair the two, and compare with what their values say."""
    desk = Desk(folder, feeds)
    left, right, truth = flavour.make(model, desk)
    sample = feeds[0] if feeds else sample_inputs(left)[0]
    return judge_models(left, right, truth, sample, folder, desk.rounded)


def judge_models(
    left: onnx.ModelProto,
    right: onnx.ModelProto,
    truth: onnx.ModelProto,
    feeds: dict[str, Array],
    folder: Path,
    rounded: Iterable[onnx.ModelProto] = (),
) -> Verdict:
    """Pair two models and compare with what the values of ``left`` and ``truth`` say.

    The pairing by structure alone and the one with values are both judged; the worse one counts.

    Args:
        left: the float graph.
        right: the quant graph.
        truth: the quant graph, or one with the same tensor names that tells its values.
        feeds: inputs of the float graph.
        folder: for files.
        rounded: the network as it was when its weights were rounded, where that is known.
    """
    weights = [value for model in (left, *rounded) for value in _weights(model)]
    quants = read_values(truth, feeds_for(truth, feeds), weights)
    distance = Distances(float_values(left, feeds), quants)
    verdicts = [judge(p, distance) for p in pairings(left, right, feeds, folder)]
    return min(verdicts, key=lambda verdict: (-len(verdict.wrong), verdict.recall))


def _weights(model: onnx.ModelProto) -> Iterator[Array]:
    nodes = (n for n in model.graph.node if n.op_type == "Constant")
    constants = [a.t for n in nodes for a in n.attribute if a.name == "value"]
    for tensor in (*model.graph.initializer, *constants):
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.ndim > 1:
            yield value
