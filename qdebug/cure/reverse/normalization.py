"""Normalizations, as inference computes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value


@rule("BatchNormalization")
def _batch(step: Step) -> Mapping[int, Value]:
    """``scale / sqrt(variance + epsilon)`` for each channel."""
    step.only(0)
    if step.node.attributes.get("training_mode", 0):
        raise NoRuleError("it takes the statistics of its own input")
    epsilon = float(step.node.attributes.get("epsilon", 1e-5))
    factor = step.input(1) / (step.input(4) + epsilon).apply("Sqrt")
    return {0: step.d * factor.reshape((-1, *[1] * (len(step.shape()) - 2)))}


@rule("LayerNormalization", "InstanceNormalization", "MeanVarianceNormalization")
@rule("GroupNormalization")
def _standardized(step: Step) -> Mapping[int, Value]:
    """``y = scale (x - mean) / deviation + bias`` over some axes."""
    step.only(0)
    op, shape = step.node.op, step.shape()
    if op == "LayerNormalization":
        first = step.node.attributes.get("axis", -1) % len(shape)
        return {0: _centred(step, step.x, step.d * step.input(1), tuple(range(first, len(shape))))}
    if op == "MeanVarianceNormalization":
        axes = tuple(a % len(shape) for a in step.node.attributes.get("axes", [0, 2, 3]))
        return {0: _centred(step, step.x, step.d, axes, epsilon=1e-9)}
    scale = step.input(1).reshape((-1, *[1] * (len(shape) - 2)))
    if op == "InstanceNormalization":
        return {0: _centred(step, step.x, step.d * scale, tuple(range(2, len(shape))))}
    return {0: _grouped(step, scale)}


def _grouped(step: Step, scale: Value) -> Value:
    """Channels in groups; until operator set 21 the scale is one number for a group."""
    shape, groups = step.shape(), int(step.node.attributes["num_groups"])
    inner = (shape[0], groups, -1)
    d = step.d
    if step.tape.opset >= 21:
        d = (d * scale).reshape(inner)
    else:
        d = d.reshape(inner) * step.input(1).reshape((groups, 1))
    within = int(np.prod(shape[1:])) // groups
    return _centred(step, step.x.reshape(inner), d, (2,), count=within).reshape(shape)


def _centred(
    step: Step,
    x: Value,
    d: Value,
    axes: tuple[int, ...],
    *,
    epsilon: float | None = None,
    count: int | None = None,
) -> Value:
    """``(d - mean(d) - z mean(d z)) / deviation``, z being x standardized over the axes."""
    if epsilon is None:
        epsilon = float(step.node.attributes.get("epsilon", 1e-5))
    if count is None:
        count = int(np.prod([step.shape()[axis] for axis in axes], dtype=np.int64))
    centred = x - x.mean(axes, count)
    inverse = 1 / ((centred * centred).mean(axes, count) + epsilon).apply("Sqrt")
    z = centred * inverse
    return (d - d.mean(axes, count) - z * (d * z).mean(axes, count)) * inverse


@rule("RMSNormalization", "SimplifiedLayerNormalization")
@rule("SimplifiedLayerNormalization", domain="com.microsoft")
def _root_mean_square(step: Step) -> Mapping[int, Value]:
    """``y = scale x / sqrt(mean(x^2) + epsilon)``."""
    step.only(0)
    shape = step.shape()
    axes = tuple(range(step.node.attributes.get("axis", -1) % len(shape), len(shape)))
    count = int(np.prod([shape[axis] for axis in axes], dtype=np.int64))
    epsilon = float(step.node.attributes.get("epsilon", 1e-5))
    inverse = 1 / ((step.x * step.x).mean(axes, count) + epsilon).apply("Sqrt")
    z, d = step.x * inverse, step.d * step.input(1)
    return {0: (d - z * (d * z).mean(axes, count)) * inverse}
