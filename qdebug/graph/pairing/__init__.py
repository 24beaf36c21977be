"""Finding, for every tensor of the float graph, the quant tensor that stands for the same value.

Each graph is read as values and operations without its quantization (``build``). Weights that are
recognized again anchor the two; from there, from the inputs, and where needed from names and
outputs, matching spreads along the edges in both directions (``match``). Chains of operations that
one side folded away are aligned (``chains``). Values of a sample decide only what structure leaves
open (``values``).
"""

from __future__ import annotations

from qdebug.graph.model import Graph
from qdebug.graph.pairing.build import build
from qdebug.graph.pairing.match import Matcher
from qdebug.graph.pairing.reasons import unpaired_float, unpaired_quant
from qdebug.graph.pairing.result import make_pairs
from qdebug.graph.pairing.state import Matches
from qdebug.graph.pairing.twins import split_twins
from qdebug.graph.pairing.values import Probe
from qdebug.graph.pairing.weights import make_weight_pairs, uncompared_weights
from qdebug.graph.pairs import Pairing

__all__ = ["Probe", "pair_graphs"]


def pair_graphs(float_graph: Graph, quant_graph: Graph, probe: Probe | None = None) -> Pairing:
    """Pair the tensors of two graphs.

    Args:
        float_graph: the reference.
        quant_graph: the same network quantized, optimized, converted or renamed.
        probe: gives values on one sample; without it, what structure leaves open stays unpaired.

    Returns:
        Every float-typed tensor of the float graph is either in ``pairs`` or in
        ``unpaired_float``, with the reason.
    """
    matches = _matched(float_graph, quant_graph, probe)
    pairs = make_pairs(matches)
    weights = make_weight_pairs(matches)
    return Pairing(
        pairs=tuple(pairs),
        weights=tuple(weights),
        unpaired_float=tuple(unpaired_float(matches, pairs)),
        unpaired_quant=tuple(unpaired_quant(matches, pairs)),
        notes=tuple(_notes(float_graph)),
        uncompared=tuple(uncompared_weights(matches, weights)),
    )


def _matched(float_graph: Graph, quant_graph: Graph, probe: Probe | None) -> Matches:
    """What matches; once more where operations are equal in one graph and not in the other."""
    matches = Matcher(build(float_graph), build(quant_graph), probe).run()
    apart = split_twins(matches)
    if not any(apart):
        return matches
    sides = (matches.left, matches.right)
    again = [build(s.graph, s.constants, nodes) for s, nodes in zip(sides, apart, strict=True)]
    told_apart = Matcher(again[0], again[1], probe).run()
    return told_apart if len(told_apart.of_right) >= len(matches.of_right) else matches


def _notes(graph: Graph) -> list[str]:
    bodies = [
        node for node in graph.nodes if node.outer_inputs or node.op in ("If", "Loop", "Scan")
    ]
    return [
        f"what {node.op} {node.label!r} computes inside its body is not compared" for node in bodies
    ]
