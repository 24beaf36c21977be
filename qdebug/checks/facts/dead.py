"""Outputs whose signal is lost in the quant run only."""

from __future__ import annotations

from typing import Literal

from qdebug.checks.context import CheckContext
from qdebug.graph.model import Graph
from qdebug.graph.operators import BOUNDED_TO_ONE, MOVES_VALUES
from qdebug.run.model import OutputResult


def dead_outputs(context: CheckContext) -> list[OutputResult]:
    """Outputs that are one number in the quant run and carry a signal in the float run."""
    return [o for o in context.outputs if o.layer is not None and _is_dead(context, o.layer)]


def _is_dead(context: CheckContext, at: int) -> bool:
    """Whether an output lost its signal to quantization.

    Float values below half a step (``low_signal``) are usually no signal, as on a picture with
    nothing on it. ``_is_signal`` tells when they are one.
    """
    state = context.layers[at].state
    if state in ("zero_both", "identical"):
        return False
    if state == "low_signal" and not _is_signal(context, at):
        return False
    return lost_signal(context, at) is not None


def _is_signal(context: CheckContext, at: int) -> bool:
    """Whether float values below half a step matter.

    Where the operator bounds them (a Sigmoid by one), they do if the bound itself is below half a
    step: then no input could ever be seen. Where nothing bounds them, they do if every output is as
    quiet as this one and the float model still decides something.
    """
    limits = context.layer(at).range
    bound = _bound(context.float_graph, context.layers[at].float_tensor)
    if bound is not None:
        return limits is not None and bound < limits.step / 2
    compared = [o.state for o in context.outputs if o.layer is not None]
    silent = all(state in ("low_signal", "zero_both") for state in compared)
    return silent and context.task is not None and context.task.decisions > 0


def _bound(graph: Graph, tensor: str) -> float | None:
    """Largest magnitude that a tensor can have, None where its operator sets no bound."""
    node = graph.producer.get(tensor)
    if node is None:
        return None
    if node.op in BOUNDED_TO_ONE:
        return 1.0
    if node.op not in MOVES_VALUES or node.op == "Pad":
        return None
    moved = node.inputs if node.op == "Concat" else node.inputs[:1]
    bounds = [_bound(graph, name) for name in moved]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known and len(known) == len(bounds) else None


def lost_signal(context: CheckContext, at: int) -> Literal["zero", "constant"] | None:
    """What quantization makes of a layer that varies in the float run.

    Returns:
        None where it still varies, or did not vary in the float run either.
    """
    moments = context.layer(at).moments
    if moments is None:
        return None
    total = moments.total()
    constant = total.min_q[0] == total.max_q[0] and total.n[0] > 1
    alive = total.max_f[0] - total.min_f[0] > 0
    if not (constant and alive):
        return None
    return "zero" if total.max_q[0] == 0 else "constant"
