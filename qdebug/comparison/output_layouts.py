"""How the quant model lays its outputs out, where that is not the float model's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdebug.capture.deployed import Layout
from qdebug.graph.model import Graph
from qdebug.graph.operators import DEQUANTIZE_OPS, NEUTRAL, QUANTIZE_OPS
from qdebug.graph.pairs import Pair, Pairing

_PASSED = QUANTIZE_OPS | DEQUANTIZE_OPS | NEUTRAL


def output_layouts(
    names: Mapping[str, str], quant_graph: Graph, pairing: Pairing
) -> dict[str, Layout]:
    """Permutations of the quant model's outputs into the float model's layout, where they differ.

    An output may be the paired tensor itself, or a ``Transpose`` of it: channels last, where the
    float model has them first.

    Args:
        names: float output name to quant output name.
        quant_graph: the quant model.
        pairing: of the two.

    Returns:
        By float output name, as for ``numpy.transpose``.
    """
    found = {}
    for pair in pairing.pairs:
        if pair.float_tensor in names:
            layout = _layout(names[pair.float_tensor], quant_graph, pair)
            if layout is not None and layout != tuple(range(len(layout))):
                found[pair.float_tensor] = layout
    return found


def _layout(output: str, graph: Graph, pair: Pair) -> Layout | None:
    """The permutation of one output; None where it is not the pair's tensor, or no axis moves."""
    tensor, back = output, None
    while tensor not in (pair.raw, pair.read, *pair.aliases):
        node = graph.producer.get(tensor)
        perm = node.attributes.get("perm") if node is not None and node.op == "Transpose" else None
        if node is None or (perm is None and node.op not in _PASSED):
            return None
        if perm is not None:
            back = _behind(back, tuple(int(axis) for axis in np.argsort(perm)))
        tensor = node.inputs[0]
    form = pair.raw_form if tensor == pair.raw else pair.read_form
    return back if form.perm is None else _behind(back, form.perm)


def _behind(first: Layout | None, then: Sequence[int]) -> Layout:
    """One permutation that does what two do, one after the other."""
    return tuple(then) if first is None else tuple(first[axis] for axis in then)
