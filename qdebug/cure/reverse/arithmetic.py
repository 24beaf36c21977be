"""Functions of several tensors, value by value, with broadcasting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value


def _back(step: Step, gradients: Mapping[int, Value]) -> Mapping[int, str]:
    """Each gradient, of the output's shape, summed to the shape of its operand."""
    shape = step.y_shape
    return {
        slot: step.tape.unbroadcast(g.name, shape, step.shape(slot))
        for slot, g in gradients.items()
    }


@rule("Add", "Sum", "Mean")
def _add(step: Step) -> Mapping[int, str]:
    d = step.d * (1 / len(step.node.inputs)) if step.node.op == "Mean" else step.d
    return _back(step, {slot: d for slot in step.wanted})


@rule("Sub")
def _sub(step: Step) -> Mapping[int, str]:
    return _back(step, {slot: step.d if slot == 0 else -step.d for slot in step.wanted})


@rule("Mul")
def _mul(step: Step) -> Mapping[int, str]:
    return _back(step, {slot: step.d * step.input(1 - slot) for slot in step.wanted})


@rule("Div")
def _div(step: Step) -> Mapping[int, str]:
    scaled = step.d / step.input(1)
    return _back(step, {slot: scaled if slot == 0 else -(scaled * step.y) for slot in step.wanted})


@rule("Pow")
def _pow(step: Step) -> Mapping[int, str]:
    """By the base ``b x^(b - 1)``, by the exponent ``y log x``."""
    found = {}
    if 0 in step.wanted:
        found[0] = step.d * _power_slope(step)
    if 1 in step.wanted:
        found[1] = step.d * step.y * step.x.apply("Log")
    return _back(step, found)


def _power_slope(step: Step) -> Value:
    try:
        exponents = np.unique(step.tape.value(step.node.inputs[1]).astype(np.float64))
    except NoRuleError:
        return step.input(1) * step.x ** (step.input(1) - 1)
    if exponents.size > 1:
        return step.input(1) * step.x ** (step.input(1) - 1)
    exponent = float(exponents[0])
    if exponent == 2:
        return step.x * 2
    return step.x ** (exponent - 1) * exponent


@rule("Min", "Max")
def _extreme(step: Step) -> Mapping[int, str]:
    """To the operand that won; a tie is shared."""
    won = [step.input(slot).equals(step.y) for slot in range(len(step.node.inputs))]
    shared = step.d
    if len(step.wanted) > 1:
        shared = step.d / Value(step.tape, step.tape.add_up([w.name for w in won]))
    return _back(step, {slot: shared * won[slot] for slot in step.wanted})


@rule("Where")
def _where(step: Step) -> Mapping[int, str]:
    chosen = step.input(0).as_float()
    gates = {1: lambda: step.d * chosen, 2: lambda: step.d * (1 - chosen)}
    return _back(step, {slot: gates[slot]() for slot in step.wanted})
