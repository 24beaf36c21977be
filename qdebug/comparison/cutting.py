"""Cutting both models off at the same place, where one has an end that nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.errors import UsageError
from qdebug.graph import cut
from qdebug.graph.cut import Cut
from qdebug.graph.model import Graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.validity import name_of
from qdebug.run.model import CutInfo
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantModel, QuantRequest


@dataclass(frozen=True)
class Ends:
    """Both models, each cut off where it had to be.

    Attributes:
        graphs: float and quant.
        quant: what the quant model was made of.
        cuts: what was cut off of either; None where nothing was.
    """

    graphs: tuple[Graph, Graph]
    quant: QuantModel
    cuts: tuple[CutInfo | None, CutInfo | None]


def cut_float(graph: Graph, outputs: str | None) -> Cut | None:
    """Cut a float model at the tensors asked for, else before what ONNX Runtime does not have.

    Raises:
        UsageError: it computes no tensor of that name.
        ModelError: too much of it would be lost, or a tensor needs what is not there.
    """
    if outputs is not None:
        return cut.at(graph, cut.named(graph, outputs))
    return cut.before_foreign(graph)


def load_ends(float_graph: Graph, request: QuantRequest, outputs: str | None) -> Ends:
    """Load the quant model, and cut both off at the same tensors where one of them has to be.

    Args:
        float_graph: the float model.
        request: what says how it is quantized.
        outputs: names of its tensors, as ``--outputs`` takes them.

    Raises:
        UsageError: a tensor asked for is not in the float model, or has no counterpart.
        ModelError: a graph cannot be cut.
        EncodingsError: a toolchain's file is unusable, or of another model.
    """
    ours = cut_float(float_graph, outputs)
    base = ours.graph if ours is not None else float_graph
    quant = load_quant(request, base, float_graph)
    info = ours.info if ours is not None else None
    if quant.base is base:
        return Ends((base, quant.graph), quant, (info, info))
    if ours is not None:
        theirs = _alike(ours, quant.graph, asked=outputs is not None)
    else:
        theirs = cut.before_foreign(quant.graph)
        ours = _alike(theirs, float_graph) if theirs is not None else None
    graphs = (
        ours.graph if ours is not None else float_graph,
        theirs.graph if theirs is not None else quant.graph,
    )
    told = (ours.info if ours else None, theirs.info if theirs else None)
    return Ends(graphs, quant, told)


def _alike(given: Cut, other: Graph, *, asked: bool = False) -> Cut | None:
    """The other model cut where this one is; on its own account where no tensor stands for one.

    Raises:
        UsageError: no tensor stands for one that was asked for.
    """
    places = _counterparts(given.graph, other)
    missing = next((name for name in given.graph.outputs if name not in places), None)
    if missing is None and set(places.values()) == set(other.outputs):
        return None
    if missing is None:
        return cut.at(other, list(places.values()))
    if asked:
        raise UsageError(
            f"--outputs: no tensor of {other.path.name} stands for {name_of(missing)}",
            "name a tensor that both models compute, before what one of them folds or fuses",
        )
    return cut.before_foreign(other)


def _counterparts(graph: Graph, other: Graph) -> dict[str, str]:
    """Tensors of the other model that stand for this one's outputs."""
    pairing = pair_graphs(graph, other)
    found = {pair.float_tensor: pair.read for pair in pairing.pairs}
    return {
        name: found.get(name, name)
        for name in graph.outputs
        if name in found or name in other.producer
    }
