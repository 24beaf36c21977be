"""Functions of one tensor, value by value: each states its derivative.

Where a derivative jumps (at zero of a Relu, at the ends of a Clip), either side is a fair answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value

Derivative = Callable[[Value, Value, Mapping[str, Any]], Value]
"""dy/dx from x, y and the node's attributes."""


def _pointwise(op: str, derivative: Derivative, domain: str = "") -> None:
    def reverse(step: Step) -> Mapping[int, Value]:
        step.only(0)
        return {0: step.d * derivative(step.x, step.y, step.node.attributes)}

    rule(op, domain=domain)(reverse)


@rule("Identity", "Neg")
def _linear(step: Step) -> Mapping[int, Value]:
    return {0: step.d if step.node.op == "Identity" else -step.d}


@rule("Relu")
def _relu(step: Step) -> Mapping[int, Value]:
    """The output's sign is 0 or 1; one pass less than a comparison and a Cast."""
    passes = step.y.apply("Sign") if step.tape.opset >= 9 else step.y.above(0)
    return {0: step.d * passes}


@rule("Clip")
def _clip(step: Step) -> Mapping[int, Value]:
    step.only(0)
    return {0: step.d * step.y.equals(step.x)}


@rule("PRelu")
def _prelu(step: Step) -> Mapping[int, Value | str]:
    negative, slope = step.x.below(0), step.input(1)
    found: dict[int, Value | str] = {}
    if 0 in step.wanted:
        found[0] = step.d * (1 + negative * (slope - 1))
    if 1 in step.wanted:
        moved = step.d * step.x * negative
        found[1] = step.tape.unbroadcast(moved.name, step.y_shape, step.shape(1))
    return found


def _hard_swish(x: Value, _y: Value, _: Mapping[str, Any]) -> Value:
    """``x * max(0, min(1, x / 6 + 1 / 2))``."""
    inside = x.above(-3) * x.below(3)
    return inside * (x * (1 / 3) + 0.5) + (1 - x.below(3))


def _sigmoid(x: Value) -> Value:
    return x.apply("Sigmoid")


def _normal_density(x: Value) -> Value:
    return (x * x * -0.5).apply("Exp") * (1 / math.sqrt(2 * math.pi))


def _gelu(x: Value, _y: Value, attributes: Mapping[str, Any]) -> Value:
    """``x * Phi(x)``, Phi the normal distribution's, or its approximation by tanh."""
    if attributes.get("approximate", "none") == "tanh":
        return _tanh_gelu(x)
    phi = (x * (1 / math.sqrt(2))).apply("Erf") * 0.5 + 0.5
    return phi + x * _normal_density(x)


def _tanh_gelu(x: Value) -> Value:
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))``."""
    root, cubic, square = math.sqrt(2 / math.pi), 0.044715, x * x
    tanh = (x * (square * (root * cubic) + root)).apply("Tanh")
    inner = square * (3 * root * cubic) + root
    return (tanh * 0.5 + 0.5) + x * 0.5 * (1 - tanh * tanh) * inner


def _quick_gelu(x: Value, _y: Value, attributes: Mapping[str, Any]) -> Value:
    """``x * sigmoid(alpha x)``."""
    alpha = float(attributes.get("alpha", 1.702))
    gate = _sigmoid(x * alpha)
    return gate * (1 + x * alpha * (1 - gate))


def _swish(x: Value, y: Value, attributes: Mapping[str, Any]) -> Value:
    return _quick_gelu(x, y, {"alpha": attributes.get("alpha", 1.0)})


def _sqrt(_x: Value, y: Value, _: Mapping[str, Any]) -> Value:
    """At zero, where the derivative is infinite, 0."""
    passes = y.above(0)
    return passes * 0.5 / (y + (1 - passes))


def _mish(x: Value, _y: Value, _: Mapping[str, Any]) -> Value:
    """``x * tanh(softplus(x))``."""
    tanh = x.apply("Softplus").apply("Tanh")
    return tanh + x * _sigmoid(x) * (1 - tanh * tanh)


def _scaled_elu(
    alpha: float, gamma: float = 1.0
) -> Callable[[Value, Value, Mapping[str, Any]], Value]:
    """``gamma * (x if x > 0 else alpha * (exp(x) - 1))``; defaults of the attributes."""

    def derivative(x: Value, y: Value, attributes: Mapping[str, Any]) -> Value:
        a, g = float(attributes.get("alpha", alpha)), float(attributes.get("gamma", gamma))
        positive = x.above(0)
        return positive * g + (1 - positive) * (y + a * g)

    return derivative


def _celu(x: Value, y: Value, attributes: Mapping[str, Any]) -> Value:
    """``x if x > 0 else alpha * (exp(x / alpha) - 1)``."""
    positive = x.above(0)
    return positive + (1 - positive) * (y * (1 / float(attributes.get("alpha", 1.0))) + 1)


def _softsign(x: Value, _y: Value, _: Mapping[str, Any]) -> Value:
    scale = x.apply("Abs") + 1
    return 1 / (scale * scale)


_pointwise("Abs", lambda x, _y, _: x.apply("Sign"))
_pointwise("Celu", _celu)
_pointwise("Cos", lambda x, _y, _: -x.apply("Sin"))
_pointwise("Elu", _scaled_elu(1.0))
_pointwise("Erf", lambda x, _y, _: (-(x * x)).apply("Exp") * (2 / math.sqrt(math.pi)))
_pointwise("Exp", lambda _x, y, _: y)
_pointwise("Gelu", _gelu)
_pointwise("Gelu", _gelu, "com.microsoft")
_pointwise("HardSigmoid", lambda _x, y, a: y.above(0) * y.below(1) * a.get("alpha", 0.2))
_pointwise("HardSwish", _hard_swish)
_pointwise("LeakyRelu", lambda x, _y, a: 1 + x.below(0) * (a.get("alpha", 0.01) - 1))
_pointwise("Log", lambda x, _y, _: 1 / x)
_pointwise("Mish", _mish)
_pointwise("QuickGelu", _quick_gelu, "com.microsoft")
_pointwise("Reciprocal", lambda _x, y, _: -(y * y))
_pointwise("Selu", _scaled_elu(1.67326319217681884765625, 1.05070102214813232421875))
_pointwise("Sigmoid", lambda _x, y, _: y * (1 - y))
_pointwise("Sin", lambda x, _y, _: x.apply("Cos"))
_pointwise("Softplus", lambda x, _y, _: _sigmoid(x))
_pointwise("Softsign", _softsign)
_pointwise("Sqrt", _sqrt)
_pointwise("Swish", _swish)
_pointwise("Tanh", lambda _x, y, _: 1 - y * y)
_pointwise("ThresholdedRelu", lambda x, _y, a: x.above(a.get("alpha", 1.0)))


@rule("FastGelu", "BiasGelu", domain="com.microsoft")
def _gelu_with_bias(step: Step) -> Mapping[int, Value | str]:
    x = step.x + step.input(1) if step.has(1) else step.x
    slope = _tanh_gelu(x) if step.node.op == "FastGelu" else _gelu(x, x, {})
    moved = step.d * slope
    return {
        slot: step.tape.unbroadcast(moved.name, step.y_shape, step.shape(slot))
        for slot in step.wanted
    }


@rule("Dropout")
def _dropout(step: Step) -> Mapping[int, Value]:
    """Inference drops nothing."""
    step.only(0)
    return {0: step.d}


@rule("Cast")
def _cast(step: Step) -> Mapping[int, Value]:
    if step.node.attributes["to"] != 1:
        raise NoRuleError("it turns values into another type")
    return {0: step.d}
