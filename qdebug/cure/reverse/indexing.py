"""Operators that pick values by index, or put them there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.graph.model import Array

_ADDS = 16
"""The operator set in which ``ScatterElements`` and ``ScatterND`` learnt to add."""


@rule("Gather")
def _gather(step: Step) -> Mapping[int, str]:
    step.only(0)
    tape, shape = step.tape, step.shape()
    axis = step.node.attributes.get("axis", 0) % len(shape)
    count = int(np.prod(step.shape(1), dtype=np.int64))
    inner = [*shape[:axis], count, *shape[axis + 1 :]]
    d = tape.reshape(step.cotangent, inner)
    try:
        index = tape.value(step.node.inputs[1]).reshape(-1)
    except NoRuleError:
        if tape.opset < _ADDS:
            raise
        line = [count if at == axis else 1 for at in range(len(shape))]
        spread = tape.expand(tape.reshape(step.node.inputs[1], line), inner)
        return {0: _added(step, spread, d, axis)}
    return {0: tape.pick_back(d, shape, axis, index % shape[axis])}


@rule("GatherElements")
def _gather_elements(step: Step) -> Mapping[int, str]:
    step.only(0)
    axis = step.node.attributes.get("axis", 0) % len(step.shape())
    if step.tape.opset >= _ADDS:
        return {0: _added(step, step.node.inputs[1], step.cotangent, axis)}
    index = step.tape.value(step.node.inputs[1]) % step.shape()[axis]
    return {0: _flat_back(step, np.take_along_axis(_places(step), index, axis))}


@rule("GatherND")
def _gather_nd(step: Step) -> Mapping[int, str]:
    step.only(0)
    tape, index = step.tape, step.node.inputs[1]
    if step.node.attributes.get("batch_dims", 0):
        raise NoRuleError("it picks within each of a batch")
    if tape.opset >= _ADDS:
        zeros = tape.zeros(step.shape())
        return {0: tape.emit("ScatterND", zeros, index, step.cotangent, reduction="add")}
    places = _places(step)[tuple(np.moveaxis(tape.value(index), -1, 0))]
    return {0: _flat_back(step, places)}


def _added(step: Step, index: str, d: str, axis: int) -> str:
    zeros = step.tape.zeros(step.shape())
    return step.tape.emit("ScatterElements", zeros, index, d, axis=axis, reduction="add")


def _places(step: Step) -> Array:
    """Each element's number."""
    return np.arange(int(np.prod(step.shape()))).reshape(step.shape())


def _flat_back(step: Step, places: Array) -> str:
    """Undo the picking of elements by their number."""
    size = int(np.prod(step.shape()))
    flat = step.tape.reshape(step.cotangent, [places.size])
    found = step.tape.pick_back(flat, [size], 0, places.reshape(-1))
    return step.tape.reshape(found, step.shape())


@rule("TopK")
def _top_k(step: Step) -> Mapping[int, str]:
    """The chosen values, back to where they stood; which ones are chosen does not move."""
    tape = step.tape
    if tape.opset < 11:
        raise NoRuleError("before operator set 11 nothing puts values back by their positions")
    index = step.node.outputs[1]
    if not index:
        index = tape.emit_all("TopK", step.node.inputs, 2, **step.node.attributes)[1]
    d = step.cotangents[0]
    if d is None:
        return {}
    axis = step.node.attributes.get("axis", -1)
    return {0: tape.emit("ScatterElements", tape.zeros(step.shape()), index, d, axis=axis)}


@rule("ScatterND", "ScatterElements", "Scatter")
def _scatter(step: Step) -> Mapping[int, str]:
    """What was put in reads the gradient there; what it replaced gets none."""
    step.only(0, 2)
    if step.node.attributes.get("reduction", "none") != "none":
        raise NoRuleError("it combines what it puts in with what stood there")
    op, index, tape = step.node.op, step.node.inputs[1], step.tape
    axis = {} if op == "ScatterND" else {"axis": step.node.attributes.get("axis", 0)}
    found = {}
    if 0 in step.wanted:
        nothing = tape.zeros(step.shape(2))
        found[0] = tape.emit(op, step.cotangent, index, nothing, **axis)
    if 2 in step.wanted:
        if op == "Scatter":
            raise NoRuleError("before operator set 11 nothing reads values by their positions")
        reader = "GatherND" if op == "ScatterND" else "GatherElements"
        found[2] = tape.emit(reader, step.cotangent, index, **axis)
    return found
