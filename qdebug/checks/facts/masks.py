"""Constants that stand in for infinity, such as an attention mask's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.codes import FEW_CODES
from qdebug.checks.facts.reach import positions_by_tensor
from qdebug.graph.operators import KEEPS_MASK, MASKING
from qdebug.graph.walk import walk

HUGE = 1e4
"""A constant of this size may stand in for infinity: BERT's mask of -10000 is the smallest in use.
"""
TIMES_THE_OTHERS = 1e3
"""It does stand in for infinity where it is so many times as large as every other value it meets.
By judgement."""
"""Operators behind which a mask is still a mask."""


@dataclass(frozen=True)
class Mask:
    """A stand-in for infinity that meets ordinary values in one quantized range.

    Attributes:
        at: the layer where they meet.
        constant: tensor that holds the stand-in.
        value: its size.
        logits: size of the other values.
        step: of the layer's quantizer.
    """

    at: int
    constant: str
    value: float
    logits: float
    step: float


def masks(context: CheckContext) -> list[Mask]:
    """Every one, harmful or not, in execution order."""
    known = context.once(positions_by_tensor)
    found = []
    for layer in context.joined:
        node = context.float_graph.producer.get(layer.pair.float_tensor)
        limits = layer.range
        if node is None or limits is None or node.op not in MASKING:
            continue
        huge = [(n, size) for n in node.inputs if (size := _size(context, known, n)) >= HUGE]
        others = [_size(context, known, n) for n in node.inputs if n not in dict(huge)]
        logits = max(others, default=0.0)
        if huge and huge[0][1] >= TIMES_THE_OTHERS * max(logits, 1e-30):
            found.append(Mask(layer.at, *huge[0], logits, limits.step))
    return found


def _size(context: CheckContext, known: dict[str, int], tensor: str) -> float:
    """Largest finite magnitude of a tensor, zero where it is not known."""
    value = context.float_graph.constant(tensor) if tensor else None
    if value is not None and value.dtype.kind == "f" and value.size:
        return float(abs(value).max())
    layer = context.layers[known[tensor]] if tensor in known else None
    if layer is None or layer.range_float is None:
        return 0.0
    return max(abs(layer.range_float.min), abs(layer.range_float.max))


def harmful_masks(context: CheckContext) -> list[Mask]:
    """Those whose step leaves the other values fewer than ``FEW_CODES``."""
    return [m for m in context.once(masks) if m.step > m.logits / FEW_CODES]


def masked_layers(context: CheckContext) -> frozenset[int]:
    """Quantized layers whose greatest values stand in for infinity: no range has to hold them."""
    return frozenset(mask.at for mask in context.once(masks))


def mask_layers(context: CheckContext) -> list[int]:
    """Layers of ``harmful_masks``: the constants, where they are added, and on to the Softmax."""
    known, harmful = context.once(positions_by_tensor), context.once(harmful_masks)
    constants = {known[mask.constant] for mask in harmful if mask.constant in known}
    return sorted({at for mask in harmful for at in _until_softmax(context, mask.at)} | constants)


def _until_softmax(context: CheckContext, at: int) -> list[int]:
    """The layer, what only moves or masks its values, and the Softmax they end in."""
    known = context.once(positions_by_tensor)

    def onward(position: int) -> Iterator[int]:
        if context.layers[position].op == "Softmax" and position != at:
            return
        tensor = context.layers[position].float_tensor
        for node in context.float_graph.consumer_nodes(tensor):
            if node.op in KEEPS_MASK and node.outputs[0] in known:
                yield known[node.outputs[0]]

    return list(walk([at], onward))
