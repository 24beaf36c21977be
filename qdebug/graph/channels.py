"""Which axis of a tensor holds its channels."""

from __future__ import annotations

from collections.abc import Mapping

from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.operators import (
    CHANNELS_ON_AXIS_1,
    CHANNELS_ON_LAST_AXIS,
    KEEPS_CHANNEL_AXIS,
)

MAX_CHANNELS = 8192
"""An axis longer than this is not a channel axis: its per-channel numbers would say nothing."""


def channel_axes(graph: Graph, types: Mapping[str, TensorType]) -> dict[str, int]:
    """Channel axis of every tensor that has one.

    Convolutions put channels on axis 1, matrix products on the last axis; elementwise operators
    keep their input's, transpositions move it, a reshape into anchors and values goes on with the
    longer of the two. Where a reshape loses track, the shorter of the
    two innermost axes of a ``[N, boxes, values]`` tensor is taken, and axis 1 of an image.

    Args:
        graph: the graph.
        types: with fixed shapes as far as known.
    """
    axes: dict[str, int] = {}
    for node in graph.nodes:
        for output in node.outputs:
            shape = _shape(types, output)
            if shape is None or len(shape) < 2:
                continue
            axis = _axis(node, shape, axes, types)
            if 1 < shape[axis] <= MAX_CHANNELS:
                axes[output] = axis
    return axes


def _axis(
    node: Node,
    shape: tuple[int, ...],
    axes: Mapping[str, int],
    types: Mapping[str, TensorType],
) -> int:
    rank = len(shape)
    if node.op in CHANNELS_ON_AXIS_1:
        return 1
    if node.op in CHANNELS_ON_LAST_AXIS or rank == 2:
        return rank - 1
    for name in node.inputs:
        source = _shape(types, name)
        if name not in axes or source is None:
            continue
        if node.op == "Reshape" and (split := _split(source, axes[name], shape)) is not None:
            return split
        if len(source) != rank:
            continue
        if node.op == "Transpose":
            perm = list(node.attributes.get("perm", range(rank - 1, -1, -1)))
            return perm.index(axes[name])
        if node.op in KEEPS_CHANNEL_AXIS:
            return axes[name]
    return _guess(shape)


def _split(source: tuple[int, ...], axis: int, shape: tuple[int, ...]) -> int | None:
    """Where an image's channels go on when a reshape splits them in two, None otherwise.

    A head makes ``[N, anchors * values, H, W]`` to ``[N, anchors, values, H, W]``: what a
    channel means is its place among the values, so the longer part goes on, the inner one of two
    that are alike.
    """
    if axis != 1 or len(source) != 4 or len(shape) != 5:
        return None
    if shape[0] != source[0] or shape[3:] != source[2:] or shape[1] * shape[2] != source[1]:
        return None
    return 1 if shape[1] > shape[2] else 2


def _guess(shape: tuple[int, ...]) -> int:
    if len(shape) == 3:
        return 1 if shape[1] < shape[2] else 2
    return 1


def _shape(types: Mapping[str, TensorType], tensor: str) -> tuple[int, ...] | None:
    return types[tensor].fixed_shape if tensor in types else None
