"""Pooling: the mean or the maximum of windows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value
from qdebug.cure.reverse.windows import Windows
from qdebug.graph.model import Array


@rule("GlobalAveragePool")
def _global_average(step: Step) -> Mapping[int, str]:
    shape = step.shape()
    spread = step.d * (1 / int(np.prod(shape[2:])))
    return {0: step.tape.expand(spread.name, shape)}


@rule("GlobalMaxPool")
def _global_maximum(step: Step) -> Mapping[int, Value]:
    won = step.x.equals(step.y)
    return {0: step.d / won.sum(tuple(range(2, len(step.shape())))) * won}


@rule("AveragePool")
def _average(step: Step) -> Mapping[int, str]:
    """A mean over a box is one over each axis after the other: a matrix for each."""
    shape = list(step.y_shape)
    windows = Windows.of_convolution(
        step.node, step.shape()[2:], step.node.attributes["kernel_shape"]
    )
    counted = bool(step.node.attributes.get("count_include_pad", 0))
    found = step.cotangent
    for axis in range(2, len(shape)):
        matrix = _means(windows, axis - 2, step.shape()[axis], shape[axis], counted=counted)
        found = step.tape.matrix_back(found, shape, axis, matrix)
        shape[axis] = step.shape()[axis]
    return {0: found}


def _means(windows: Windows, axis: int, size: int, count: int, *, counted: bool) -> Array:
    """``[windows, size]``: what each position has in the mean of each window."""
    matrix = np.zeros((count, size), np.float32)
    before, after = windows.before[axis], windows.after[axis]
    for at in range(count):
        start = at * windows.strides[axis] - before
        positions = start + windows.dilations[axis] * np.arange(windows.kernel[axis])
        inside = positions[(positions >= 0) & (positions < size)]
        present = int((positions < size + after).sum()) if counted else inside.size
        matrix[at, inside] = 1 / max(present, 1)
    return matrix


@rule("MaxPool")
def _maximum(step: Step) -> Mapping[int, str]:
    """To the position that won, which the operator itself tells; windows may share one."""
    step.only(0)
    if step.tape.opset < 8:
        raise NoRuleError("before operator set 8 it does not tell where the maximum was")
    if step.node.attributes.get("storage_order", 0):
        raise NoRuleError("it counts positions column by column")
    d = step.cotangent
    _, index = step.tape.emit_all("MaxPool", step.node.inputs[:1], 2, **step.node.attributes)
    if step.tape.opset >= 16:
        return {0: _scattered(step, d, index)}
    return {0: _unpooled(step, d, index)}


def _scattered(step: Step, d: str, index: str) -> str:
    tape, size = step.tape, int(np.prod(step.shape()))
    flat = [tape.reshape(tensor, [-1]) for tensor in (index, d)]
    added = tape.emit("ScatterElements", tape.zeros([size]), *flat, axis=0, reduction="add")
    return tape.reshape(added, step.shape())


def _unpooled(step: Step, d: str, index: str) -> str:
    """Before operator set 16 nothing adds: windows that do not overlap are put back together."""
    tape, shape, counts = step.tape, step.shape(), step.y_shape[2:]
    windows = Windows.of_convolution(step.node, shape[2:], step.node.attributes["kernel_shape"])
    apart = [-(-reach // s) for reach, s in zip(windows.reach, windows.strides, strict=True)]
    turns = [min(turn, count) for turn, count in zip(apart, counts, strict=True)]
    total = tape.integers(shape)
    parts = []
    for start in np.ndindex(*turns):
        picks = [
            np.arange(first, count, turn)
            for first, count, turn in zip(start, counts, turns, strict=True)
        ]
        chosen = [d, index]
        for axis, pick in enumerate(picks, 2):
            if turns[axis - 2] > 1:
                at = tape.integers(pick)
                chosen = [tape.emit("Gather", tensor, at, axis=axis) for tensor in chosen]
        ones = [1] * len(counts)
        parts.append(tape.emit("MaxUnpool", *chosen, total, kernel_shape=ones, strides=ones))
    return tape.add_up(parts)
