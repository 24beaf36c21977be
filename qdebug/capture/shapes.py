"""Types of all tensors for given inputs: inferred, and observed where inference does not reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy.typing as npt

from qdebug.capture.session import Session, SessionSettings
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.rewrite import PREFIX, PartBuilder, constants_of
from qdebug.graph.shapes import infer_types

Array = npt.NDArray[Any]
_Signature = tuple[tuple[str, tuple[int, ...]], ...]


def types_for(
    graph: Graph, feeds: Mapping[str, Array], settings: SessionSettings
) -> dict[str, TensorType]:
    """Types of a graph's tensors when it is fed with these inputs.

    Where a shape depends on values that static inference does not follow (a ``Slice`` at computed
    positions, say), the graph is run once and each such tensor's shape is noted; nothing of the
    tensors themselves is held.

    Raises:
        ModelError: ONNX Runtime cannot run the graph.
    """
    shapes = {n: feeds[n].shape for n in graph.inputs if n in feeds}
    known = _KNOWN.setdefault(graph, {})
    signature = tuple(sorted(shapes.items()))
    if signature not in known:
        known[signature] = _found(graph, shapes, feeds, settings)
    return dict(known[signature])


_KNOWN: WeakKeyDictionary[Graph, dict[_Signature, dict[str, TensorType]]] = WeakKeyDictionary()
"""The types of graphs by the shapes of their inputs: many ask for the same."""


def _found(
    graph: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    feeds: Mapping[str, Array],
    settings: SessionSettings,
) -> dict[str, TensorType]:
    types = infer_types(graph, shapes)
    constant = constants_of(graph)
    open_ones = [
        name
        for name in graph.producer
        if name in types
        and types[name].elem_type
        and types[name].fixed_shape is None
        and name not in constant
    ]
    if open_ones:
        observed = _observe(graph, open_ones, feeds, settings)
        types.update({n: TensorType(types[n].elem_type, s) for n, s in observed.items()})
    return types


def _observe(
    graph: Graph, tensors: list[str], feeds: Mapping[str, Array], settings: SessionSettings
) -> dict[str, tuple[int, ...]]:
    builder = PartBuilder(graph)
    needed = graph.ancestors(tensors)
    builder.add_nodes(graph.nodes[index] for index in sorted(needed))
    for name in graph.inputs:
        known = graph.type_of(name)
        builder.add_input(name, known.elem_type, known.shape)
    names = {tensor: f"{PREFIX}shape/{number}" for number, tensor in enumerate(tensors)}
    for tensor, output in names.items():
        builder.add_output(builder.emit("Shape", [tensor], output))
    values = Session(builder.build(), graph, settings).run(feeds)
    return {tensor: tuple(map(int, values[output])) for tensor, output in names.items()}
