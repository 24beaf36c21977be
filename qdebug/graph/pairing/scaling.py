"""Scalings that one side moved from an activation into a weight."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from qdebug.graph.pairing.fingerprint import Sample, as_matrix, weight_of
from qdebug.graph.pairing.logical import Op, Value
from qdebug.graph.pairing.score import const_agrees

_LITTLE = 0.02
"""Logarithm of a scaling too small to tell. By judgement: 8 bits change a norm by less."""
_LEFT = 0.5
"""Part of the weights' change that may be left for a scaling to explain it. By judgement: half."""


def before_scaling(left_op: Op, right_op: Op, left: Value, right: Value) -> tuple[Value, Value]:
    """Operands of two products, without a scaling that went into the other side's weight.

    SmoothQuant divides an activation and multiplies the weight; normalizing exporters do the
    reverse. The weights' input channels tell whether that happened. A scaling may also have become
    the product's own factor.
    """
    factor = _own_factor(left_op, right_op)
    if abs(factor - 1) > _LITTLE:
        if _scales_by(right.op, factor):
            return left, right.op.values[0].root
        if _scales_by(left.op, 1 / factor):
            return left.op.values[0].root, right
    if _is_scaling(right.op) and not _same_scaling(left.op, right.op):
        ratio = _column_ratio(left_op, right_op)
        if ratio is not None and _explains(right.op, ratio):
            return left, right.op.values[0].root
    elif _is_scaling(left.op) and not _same_scaling(left.op, right.op):
        ratio = _column_ratio(right_op, left_op)
        if ratio is not None and _explains(left.op, ratio):
            return left.op.values[0].root, right
    return left, right


def _own_factor(left: Op, right: Op) -> float:
    """By how much more the float product multiplies its result itself; 1 for other operations."""
    if left.family != "MatMul":
        return 1.0
    factors = [float(op.params.get("alpha", 1.0)) for op in (left, right)]
    return factors[0] / factors[1] if all(factors) else 1.0


def _scales_by(op: Op | None, factor: float) -> TypeGuard[Op]:
    if not _is_scaling(op):
        return False
    value = op.consts[0].read()
    if value is None or value.size != 1:
        return False
    number = float(value.reshape(()))
    if op.family == "Div":
        return number != 0 and abs(1 / number - factor) <= _LITTLE * abs(factor)
    return abs(number - factor) <= _LITTLE * abs(factor)


def _is_scaling(op: Op | None) -> TypeGuard[Op]:
    return op is not None and op.family in ("Mul", "Div") and len(op.values) == len(op.consts) == 1


def _same_scaling(left: Op | None, right: Op | None) -> bool:
    if not _is_scaling(left) or not _is_scaling(right) or left.family != right.family:
        return False
    return const_agrees(left.consts[0], right.consts[0]) is True


def _column_ratio(plain: Op, scaled: Op) -> Sample | None:
    """Per input channel, how much larger the second operation's weight is than the first's.

    Logarithms; NaN where a channel is dead, as some are. None where that is most of them.
    """
    norms = []
    for op in (plain, scaled):
        found = weight_of(op)
        value = found[1].read() if found is not None else None
        if found is None or value is None:
            return None
        matrix = as_matrix(op, found[0], value).astype(np.float32)
        inner = int(np.prod(value.shape[2:])) if op.family == "Conv" else 1
        norms.append(np.linalg.norm(matrix.reshape(matrix.shape[0], -1, inner), axis=(0, 2)))
    if not all(np.isfinite(norm).all() for norm in norms):
        return None
    alive = (norms[0] > 0) & (norms[1] > 0)
    if 2 * alive.sum() <= alive.size:
        return None
    ratio: Sample = np.full_like(norms[0], np.nan)
    ratio[alive] = np.log(norms[1][alive] / norms[0][alive])
    return ratio


def _explains(op: Op, ratio: Sample) -> bool:
    """Whether undoing the scaling explains the ratio of the weights better than nothing does."""
    value = op.consts[0].read()
    if value is None or value.size not in (1, ratio.size) or not np.all(value > 0):
        return False
    change = np.log(value.reshape(-1).astype(np.float32)) * (1 if op.family == "Mul" else -1)
    if np.abs(change).max() < _LITTLE:
        return False
    return bool(np.nanmedian(np.abs(ratio + change)) < _LEFT * np.nanmedian(np.abs(ratio)))
