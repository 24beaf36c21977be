"""Biases in codes that several layers read, each under a scale of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.weights import STEPS, weight_rows, weight_steps
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import tensor_db

_WRONG_DB = 40.0
"""SQNR below which a shared bias has another layer's scale, 1 % off: what 8 bits leave of a tensor
at best. Rounding is told apart by the steps."""
_LOUD = 0.1
"""Share of the largest value below which one may be rounded to zero. By judgement."""


def shared_biases(context: CheckContext) -> Mapping[str, Sequence[WeightPair]]:
    """Biases in codes that several layers read, by their tensor.

    The codes are one, so the value is one as well, but each layer reads it under a scale of its
    own: that of its input times that of its weights (ONNX, ``QLinearConv``).
    """
    found: dict[str, list[WeightPair]] = {}
    for pair in context.pairing.weights:
        if pair.role == "bias":
            found.setdefault(pair.quant_tensor, []).append(pair)
    codes = {name: context.quant_graph.constant(name) for name in found}
    return {
        name: pairs
        for name, pairs in found.items()
        if len(pairs) > 1 and (value := codes[name]) is not None and value.dtype.kind in "iu"
    }


def wrongly_scaled_biases(context: CheckContext) -> dict[int, float]:
    """Float nodes of which a shared bias has another layer's scale, and its SQNR, dB."""
    pairs = (pair for shared in shared_biases(context).values() for pair in shared)
    known = ((pair.node, _error_db(pair)) for pair in pairs)
    return {node: db for node, db in known if db is not None}


def _error_db(pair: WeightPair) -> float | None:
    """SQNR of a bias that another layer's scale was used for, dB; None where it is right."""
    f, q = weight_rows(pair)
    if f.shape != q.shape:
        return None
    loud = np.abs(f) > _LOUD * np.abs(f).max(initial=0.0)
    if not (f[loud] * q[loud] > 0).all():
        return None  # no scale turns a sign, or makes a large value zero
    db = tensor_db(f, q)
    beyond = float(np.abs(q - f).max()) > STEPS * float(weight_steps(pair, len(f)).max())
    return db if beyond and db < _WRONG_DB else None
