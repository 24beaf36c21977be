"""Which outputs of the quant model stand for the float model's, and how they are laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdebug.graph.model import Graph
from qdebug.graph.operators import DEQUANTIZE_OPS, NEUTRAL, QUANTIZE_OPS
from qdebug.graph.pairs import Pair, Pairing

Layout = tuple[int, ...]
"""A permutation of axes, as for ``numpy.transpose``."""
_PASSED = QUANTIZE_OPS | DEQUANTIZE_OPS | NEUTRAL


def quant_output_names(
    float_outputs: Sequence[str], quant_outputs: Sequence[str], pairing: Pairing
) -> dict[str, str]:
    """Float output name to quant output name: by pair, else by name, else by position."""
    paired = {p.float_tensor: p.held for p in pairing.pairs}
    found: dict[str, str] = {}
    for position, name in enumerate(float_outputs):
        twins = [q for q in quant_outputs if q in paired.get(name, ())]
        if twins:
            found[name] = twins[0]
        elif name in quant_outputs:
            found[name] = name
        elif len(float_outputs) == len(quant_outputs):
            found[name] = quant_outputs[position]
    return found


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
    while tensor not in pair.held:
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
