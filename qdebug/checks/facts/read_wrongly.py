"""Outputs that a program reads wrongly: under each other's names, or with two axes exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdebug.capture.fetch import Fetcher
from qdebug.checks.context import CheckContext
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS, NEUTRAL, QUANTIZE_OPS
from qdebug.graph.pairs import Pair
from qdebug.graph.parameters import Difference, told
from qdebug.metrics.metric import sqnr_db
from qdebug.metrics.moments import measure

_PASSED = QUANTIZE_OPS | DEQUANTIZE_OPS | NEUTRAL


@dataclass(frozen=True)
class ReadWrongly:
    """Outputs whose values are right and stand elsewhere.

    Attributes:
        title: what is wrong, in a line.
        seen: what shows it.
        advice: what to do.
        layers: of the outputs.
        worst_db: lowest SQNR of one read as a program reads it, dB; None where it cannot be told.
        gain_db: what reading it rightly wins, dB.
    """

    title: str
    seen: str
    advice: str
    layers: tuple[int, ...]
    worst_db: float | None
    gain_db: float | None


def outputs_read_wrongly(context: CheckContext) -> Iterator[ReadWrongly]:
    """Outputs under each other's names, and those of the float model's shape with other axes."""
    yield from _exchanged(context)
    yield from _turned(context)


def _exchanged(context: CheckContext) -> Iterator[ReadWrongly]:
    """Outputs whose value stands in the quant graph under another output's name."""
    other = _other_names(context)
    for name, found in other.items():
        if other.get(found) != name or found < name:
            continue  # the second of a couple
        before = [_read_as(context, output, output) for output in (name, found)]
        known = [db for db in before if db is not None]
        layers = [o.layer for o in context.outputs if o.name in (name, found)]
        after = [o.accumulated.sqnr_db for o in context.outputs if o.name == name and o.accumulated]
        yield ReadWrongly(
            f"Outputs {name} and {found} are exchanged: each carries the other's values",
            f"Read by their names they have {', '.join(f'{db:.1f}' for db in known)} dB; the value "
            f"of {name} stands under {found} in the quant graph.",
            "Give the outputs their names back, or read them the other way round; then look for "
            "what ordered or named them in the converter.",
            tuple(at for at in layers if at is not None),
            min(known, default=None),
            after[0] - known[0] if known and after else None,
        )


def _other_names(context: CheckContext) -> dict[str, str]:
    """Float output to the output of the quant graph that carries its value under another name."""
    held = {p.float_tensor: p.held for p in context.pairing.pairs}
    quant_outputs = set(context.quant_graph.outputs)
    found = {}
    for name in context.float_graph.outputs:
        tensors = held.get(name, frozenset()) & quant_outputs
        if name in quant_outputs and tensors and name not in tensors:
            found[name] = min(tensors)
    return found


def _turned(context: CheckContext) -> Iterator[ReadWrongly]:
    """Outputs of one shape on both sides whose last ``Transpose`` permutes otherwise.

    The layers are compared in the layout in which they agree; a program reads the output as it is.
    """
    pairs = context.pairing.pairs
    for output in context.outputs:
        pair = pairs[output.layer] if output.layer is not None else None
        name = _quant_output(context, pair) if pair is not None else None
        if pair is None or name is None or pair.read_form.perm is None:
            continue
        ends = _transpose(context.float_graph, output.name), _transpose(context.quant_graph, name)
        if ends[0] is None or ends[1] is None:
            continue
        perms = [list(node.attributes.get("perm", ())) for node in ends if node is not None]
        before = _read_as(context, output.name, name)
        if perms[0] == perms[1] or before is None:
            continue
        after = output.accumulated.sqnr_db if output.accumulated is not None else None
        yield ReadWrongly(
            f"{ends[0].label} (Transpose) computes something else: "
            f"{Difference('perm', told(perms[0]), told(perms[1]))}",
            f"Output {output.name} has the float model's shape and other axes: read as the float "
            f"model's it has {before:.1f} dB.",
            "Give the Transpose its permutation back, or read the output in the order that it has; "
            "then look for the converter's handling of layouts.",
            () if output.layer is None else (output.layer,),
            before,
            None if after is None else after - before,
        )


def _quant_output(context: CheckContext, pair: Pair) -> str | None:
    return next((name for name in context.quant_graph.outputs if name in pair.held), None)


def _transpose(graph: Graph, tensor: str) -> Node | None:
    """The ``Transpose`` that makes a tensor, quantizers aside."""
    node = graph.producer.get(tensor)
    while node is not None and node.op in _PASSED:
        node = graph.producer.get(node.inputs[0])
    return node if node is not None and node.op == "Transpose" else None


def _read_as(context: CheckContext, name: str, quant_name: str) -> float | None:
    """SQNR of an output of the quant graph read as one of the float graph's, dB.

    Of the first sample; None where it has another shape or cannot be run.
    """
    what_if = context.what_if
    if what_if is None:
        return None
    feeds, settings = what_if.feeds[0], what_if.settings
    try:
        f = Fetcher(context.float_graph, settings[0]).values([name], feeds[0])[name]
        q = Fetcher(context.quant_graph, settings[1]).values([quant_name], feeds[1])[quant_name]
    except (QdebugError, KeyError, ValueError):
        return None
    if [side for side in np.shape(f) if side != 1] != [side for side in np.shape(q) if side != 1]:
        return None
    values = np.asarray(f, np.float32), np.asarray(q, np.float32).reshape(np.shape(f))
    return float(sqnr_db(measure(*values, None).total())[0])
