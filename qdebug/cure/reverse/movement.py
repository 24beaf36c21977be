"""Operators that move values: each is undone by moving the gradient back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.value import Value
from qdebug.graph.model import Array


@rule("Reshape", "Squeeze", "Unsqueeze", "Flatten")
def _reshape(step: Step) -> Mapping[int, Value]:
    return {0: step.d.reshape(step.shape())}


@rule("Transpose")
def _transpose(step: Step) -> Mapping[int, str]:
    rank = len(step.shape())
    perm = step.node.attributes.get("perm", list(range(rank))[::-1])
    return {0: step.tape.transpose(step.cotangent, [int(a) for a in np.argsort(perm)])}


@rule("Expand")
def _expand(step: Step) -> Mapping[int, str]:
    return {0: step.tape.unbroadcast(step.cotangent, step.y_shape, step.shape())}


@rule("Tile")
def _tile(step: Step) -> Mapping[int, str]:
    """The sum over the copies, which have an axis of their own in between."""
    shape, whole = step.shape(), step.y_shape
    apart = [n for size, all_ in zip(shape, whole, strict=True) for n in (all_ // size, size)]
    copies = step.tape.reshape(step.cotangent, apart)
    return {0: step.tape.reduce_sum(copies, list(range(0, len(apart), 2)), keep=False)}


@rule("Concat")
def _concat(step: Step) -> Mapping[int, str]:
    axis = step.node.attributes.get("axis", 1) % len(step.y_shape)
    ends = np.cumsum([0, *(step.shape(slot)[axis] for slot in range(len(step.node.inputs)))])
    return {
        slot: step.tape.slice(step.cotangent, axis, int(ends[slot]), int(ends[slot + 1]))
        for slot in sorted(step.wanted)
    }


@rule("Split")
def _split(step: Step) -> Mapping[int, str]:
    parts = [
        d if d is not None else step.tape.zeros(step.tape.shape(name))
        for d, name in zip(step.cotangents, step.node.outputs, strict=True)
    ]
    return {0: step.tape.emit("Concat", *parts, axis=step.node.attributes.get("axis", 0))}


@rule("Slice")
def _slice(step: Step) -> Mapping[int, str]:
    starts, ends = step.integers("starts", 1), step.integers("ends", 2)
    if starts is None or ends is None:
        raise NoRuleError("it does not say what it takes")
    axes = step.integers("axes", 3) or list(range(len(starts)))
    steps = (step.integers("steps", 4) if step.has(4) else None) or [1] * len(starts)
    pick = {
        axis % len(step.shape()): slice(start, end, by)
        for axis, start, end, by in zip(axes, starts, ends, steps, strict=True)
    }
    return {0: _picked_back(step, {axis: _taken(step, axis, s) for axis, s in pick.items()})}


def _taken(step: Step, axis: int, taken: slice) -> Array:
    """Positions of an axis; ONNX ends a backward slice at the lowest number, numpy at None."""
    size = step.shape()[axis]
    backward = taken.step < 0
    end = None if backward and taken.stop < -size else taken.stop
    return np.arange(size)[taken.start : end : taken.step]


def _picked_back(step: Step, index: Mapping[int, Array]) -> str:
    """Undo the picking of positions along several axes, the last axis first."""
    shape, found = list(step.y_shape), step.cotangent
    for axis in sorted(index, reverse=True):
        shape[axis] = step.shape()[axis]
        if not np.array_equal(index[axis], np.arange(shape[axis])):
            found = step.tape.pick_back(found, shape, axis, index[axis])
    return found


@rule("Pad")
def _pad(step: Step) -> Mapping[int, str]:
    step.only(0)
    mode, rank = step.node.attributes.get("mode", "constant"), len(step.shape())
    pads = step.integers("pads", 1)
    if pads is None:
        raise NoRuleError("it does not say how much it adds")
    axes = step.integers("", 3) or list(range(rank))
    index = {
        axis % rank: _padded(step.shape()[axis], pads[at], pads[len(axes) + at], mode)
        for at, axis in enumerate(axes)
    }
    return {0: _picked_back(step, index)}


def _padded(size: int, before: int, after: int, mode: str) -> Array:
    """Which position stands at each place of a padded axis; -1 where a constant does."""
    given: Array = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
    width = (max(before, 0), max(after, 0))
    if mode == "constant":
        return np.pad(given, width, constant_values=-1)
    return np.asarray(np.pad(given, width, mode=mode))  # type: ignore[call-overload]


@rule("DepthToSpace")
def _depth_to_space(step: Step) -> Mapping[int, str]:
    size = int(step.node.attributes["blocksize"])
    if step.node.attributes.get("mode", "DCR") == "DCR":
        return {0: step.tape.emit("SpaceToDepth", step.cotangent, blocksize=size)}
    n, c, h, w = step.shape()
    apart = step.tape.reshape(step.cotangent, (n, c // size**2, h, size, w, size))
    return {0: step.tape.reshape(step.tape.transpose(apart, (0, 1, 3, 5, 2, 4)), step.shape())}


@rule("SpaceToDepth")
def _space_to_depth(step: Step) -> Mapping[int, str]:
    size = int(step.node.attributes["blocksize"])
    return {0: step.tape.emit("DepthToSpace", step.cotangent, blocksize=size)}


@rule("Trilu")
def _trilu(step: Step) -> Mapping[int, str]:
    inputs = [step.cotangent, *step.node.inputs[1:]]
    return {0: step.tape.emit("Trilu", *inputs, **step.node.attributes)}
