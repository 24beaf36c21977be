"""Resize: linear, one axis after the other, so a matrix for each axis undoes it.

The matrices are not computed by formula: the operator itself resizes an identity matrix. Whatever
ONNX Runtime does with coordinates, rounding, borders and filters is so undone as it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.graph.model import Array, Graph


@rule("Resize", "Upsample")
def _resize(step: Step) -> Mapping[int, str]:
    step.only(0)
    shape, target = step.shape(), list(step.y_shape)
    if step.node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NoRuleError("it keeps the aspect ratio by a policy")
    matrices = _matrices(step, shape, target)
    repeats = [_repeats(matrices.get(axis), size) for axis, size in enumerate(shape)]
    if len(shape) == 4 and set(matrices) <= {2, 3} and repeats[2] and repeats[3]:
        return {0: _by_pooling(step, repeats[2:])}
    found = step.cotangent
    for axis in sorted(matrices, reverse=True):
        found = step.tape.matrix_back(found, target, axis, matrices[axis])
        target[axis] = shape[axis]
    return {0: found}


def _by_pooling(step: Step, repeats: list[int]) -> str:
    """Where each value was repeated, the sum over its copies."""
    mean = step.tape.emit("AveragePool", step.cotangent, kernel_shape=repeats, strides=repeats)
    return step.tape.emit("Mul", mean, step.tape.name_of(float(np.prod(repeats))))


def _repeats(matrix: Array | None, size: int) -> int:
    """How often each value stands in a row; 0 where that is not all that happens."""
    if matrix is None:
        return 1
    count, rest = divmod(len(matrix), size)
    plain = rest == 0 and np.array_equal(matrix, np.repeat(np.eye(size), count, axis=0))
    return count if plain else 0


def _matrices(step: Step, shape: tuple[int, ...], target: list[int]) -> dict[int, Array]:
    """``[output size, input size]`` for each axis that is resized."""
    rank = len(shape)
    axes = [int(a) % rank for a in step.node.attributes.get("axes", range(rank))]
    scales, sizes, regions = _arguments(step)
    crops = step.node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    found = {}
    for at, axis in enumerate(axes):
        scale = None if scales is None else float(scales[at])
        size = None if sizes is None else int(sizes[at])
        ends = None
        if crops and regions is not None:
            ends = (float(regions[at]), float(regions[len(axes) + at]))
        if (scale in (None, 1.0)) and size in (None, shape[axis]) and ends in (None, (0.0, 1.0)):
            continue
        key = _key(step, scale, target[axis], ends)
        found[axis] = _matrix(key, step.tape.opset, shape[axis], step.node.op)
    return found


def _arguments(step: Step) -> tuple[Array | None, Array | None, Array | None]:
    """Scales, sizes and regions, wherever this operator set keeps them."""
    if step.node.op == "Upsample" or step.tape.opset < 11:
        if step.has(1):
            return step.tape.value(step.node.inputs[1]), None, None
        return np.asarray(step.node.attributes["scales"]), None, None
    region, scales, sizes = (
        step.tape.value(step.node.inputs[slot]) if step.has(slot) else None for slot in (1, 2, 3)
    )
    region, scales, sizes = (
        v if v is not None and v.size else None for v in (region, scales, sizes)
    )
    return scales, sizes, region


def _key(
    step: Step, scale: float | None, size: int, ends: tuple[float, float] | None
) -> tuple[Any, ...]:
    """What determines a matrix beside the input's size; hashable."""
    left_out = {"axes", "extrapolation_value", "scales", "keep_aspect_ratio_policy"}
    kept = {k: v for k, v in step.node.attributes.items() if k not in left_out}
    return tuple(sorted(kept.items())), scale, size, ends


@lru_cache(maxsize=64)
def _matrix(key: tuple[Any, ...], opset: int, size: int, op: str) -> Array:
    attributes, scale, target, ends = key
    graph = _one_axis(op, opset, dict(attributes), (size, scale, target, ends))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = Session(model, Graph(model, Path(), ""), SessionSettings(threads=1))
    basis = np.eye(size, dtype=np.float32).reshape(1, size, size, 1)
    resized: Array = session.run({"x": basis})["y"]
    return np.ascontiguousarray(resized[0, :, :, 0].T)


def _one_axis(
    op: str,
    opset: int,
    attributes: Mapping[str, Any],
    how: tuple[int, float | None, int, tuple[float, float] | None],
) -> onnx.GraphProto:
    """The operator on ``[1, size, size, 1]``: each channel holds one column of the identity."""
    size, scale, target, ends = how
    scales = np.asarray([1, 1, scale or 1, 1], np.float32)
    given: dict[str, Array] = {}
    if op == "Upsample" or opset < 11:
        if op == "Upsample" and opset < 9:
            attributes = {**attributes, "scales": scales.tolist()}
        else:
            given["scales"] = scales
        inputs = ["x", *given]
    else:
        start, stop = ends or (0.0, 1.0)
        given["roi"] = np.asarray([0, 0, start, 0, 1, 1, stop, 1], np.float32)
        if scale is None:
            given["sizes"] = np.asarray([1, size, target, 1], np.int64)
            inputs = ["x", "roi", "", "sizes"]
        else:
            given["scales"] = scales
            inputs = ["x", "roi", "scales"]
    node = helper.make_node(op, inputs, ["y"], **attributes)
    value = helper.make_tensor_value_info("x", 1, [1, size, size, 1])
    constants = [numpy_helper.from_array(v, k) for k, v in given.items()]
    return helper.make_graph([node], "axis", [value], [onnx.ValueInfoProto(name="y")], constants)
