"""Activations that one side computes with one operator and the other with several."""

from __future__ import annotations

from qdebug.graph.pairing.logical import Op, Value

_DEFAULT_SLOPE = 1.702  # of QuickGelu, by ONNX Runtime's definition
_TOLERANCE = 1e-3  # of slopes; exporters write 1.702 or 1, rounded to float16 at worst


def swish_of(value: Value) -> tuple[Op, float] | None:
    """The operation that makes ``x * sigmoid(slope * x)`` of a value, and the slope."""
    for op in value.consumer_ops():
        if op.family == "QuickGelu":
            return op, float(op.node.attributes.get("alpha", _DEFAULT_SLOPE))
        if op.family == "Mul" and len(op.values) == 2:
            gate = next((v.root for v in op.values if v.root is not value), None)
            slope = _gate_slope(gate, value) if gate is not None else None
            if slope is not None:
                return op, slope
    return None


def same_swish(left: Value, right: Value) -> tuple[Op, Op] | None:
    """The operations that make it of two values, where one side alone has fused it."""
    mine, theirs = swish_of(left), swish_of(right)
    if mine is None or theirs is None or mine[0].family == theirs[0].family:
        return None
    return (mine[0], theirs[0]) if abs(mine[1] - theirs[1]) < _TOLERANCE else None


def _gate_slope(gate: Value, value: Value) -> float | None:
    """Slope of ``sigmoid(slope * value)``; None for anything else."""
    op = gate.op
    if op is None or op.family != "Sigmoid":
        return None
    source = op.values[0].root
    if source is value:
        return 1.0
    scaling = source.op
    if scaling is None or scaling.family != "Mul" or len(scaling.consts) != 1:
        return None
    factor = scaling.consts[0].read()
    if scaling.values[0].root is not value or factor is None or factor.size != 1:
        return None
    return float(factor.reshape(()))
