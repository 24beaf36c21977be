"""Operators that take something over whole axes: sums, means, extremes, norms, Softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value

Reduced = Callable[[Value, Value, Value, tuple[int, ...], int], Value]
"""Gradient of x from d, x, y (both with the reduced axes kept), the axes and what they count."""


def reduced_axes(step: Step) -> tuple[int, ...]:
    """Axes that a reduction is taken over, non-negative."""
    rank = len(step.shape())
    axes = step.integers("axes", 1)
    if axes:
        return tuple(sorted(axis % rank for axis in axes))
    return () if step.node.attributes.get("noop_with_empty_axes", 0) else tuple(range(rank))


def _reduction(op: str, gradient: Reduced) -> None:
    def reverse(step: Step) -> Mapping[int, str]:
        step.only(0)
        shape, axes = step.shape(), reduced_axes(step)
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        d, y = step.d, step.y
        if step.y_shape != kept:
            d, y = d.reshape(kept), y.reshape(kept)
        count = int(np.prod([shape[axis] for axis in axes], dtype=np.int64))
        found = gradient(d, step.x, y, axes, count)
        return {0: step.tape.expand(found.name, shape)}

    rule(op)(reverse)


def _of_extreme(d: Value, x: Value, y: Value, axes: tuple[int, ...], _: int) -> Value:
    """Shared by all that are equal to it."""
    won = x.equals(y)
    return d / won.sum(axes) * won


def _of_norm(d: Value, x: Value, y: Value, _axes: tuple[int, ...], _: int) -> Value:
    """Of a zero vector, which has no direction: 0."""
    passes = y.above(0)
    return d * passes / (y + (1 - passes)) * x


_reduction("ReduceSum", lambda d, _x, _y, _axes, _: d)
_reduction("ReduceMean", lambda d, _x, _y, _axes, count: d * (1 / count))
_reduction("ReduceMax", _of_extreme)
_reduction("ReduceMin", _of_extreme)
_reduction("ReduceL1", lambda d, x, _y, _axes, _: d * x.apply("Sign"))
_reduction("ReduceL2", _of_norm)
_reduction("ReduceSumSquare", lambda d, x, _y, _axes, _: d * 2 * x)
_reduction("ReduceLogSum", lambda d, _x, y, _axes, _: d / y.apply("Exp"))
_reduction("ReduceLogSumExp", lambda d, x, y, _axes, _: d * (x - y).apply("Exp"))


def _softmax_axes(step: Step) -> tuple[int, ...]:
    """Before operator set 13 everything from the axis on counts as one."""
    rank = len(step.y_shape)
    if step.tape.opset >= 13:
        return (step.node.attributes.get("axis", -1) % rank,)
    return tuple(range(step.node.attributes.get("axis", 1) % rank, rank))


@rule("Softmax")
def _softmax(step: Step) -> Mapping[int, Value]:
    weighed = (step.d * step.y).sum(_softmax_axes(step))
    return {0: step.y * (step.d - weighed)}


@rule("LogSoftmax")
def _log_softmax(step: Step) -> Mapping[int, Value]:
    return {0: step.d - step.y.apply("Exp") * step.d.sum(_softmax_axes(step))}


@rule("LpNormalization")
def _lp_normalization(step: Step) -> Mapping[int, Value]:
    """``y = x / |x|`` along an axis: ``(d - y (d . y)) / |x|``."""
    if step.node.attributes.get("p", 2) != 2:
        raise NoRuleError("it divides by a sum of magnitudes")
    axes = (step.node.attributes.get("axis", -1) % len(step.y_shape),)
    length = (step.x * step.x).sum(axes).apply("Sqrt")
    return {0: (step.d - step.y * (step.d * step.y).sum(axes)) / length}


@rule("CumSum")
def _cum_sum(step: Step) -> Mapping[int, str]:
    step.only(0)
    attributes = dict(step.node.attributes)
    attributes["reverse"] = 1 - attributes.get("reverse", 0)
    return {0: step.tape.emit("CumSum", step.cotangent, step.node.inputs[1], **attributes)}
