"""Cutting a graph off: before operators that ONNX Runtime does not have, or at given tensors.

Exporters for devices put the vendor's own layers at the end of a graph (proposals, detection
output, a plug-in for NMS). What is before them runs anywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from qdebug.errors import ModelError, UsageError
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import (
    DEQUANTIZE_OPS,
    FAKE_QUANTIZE_OPS,
    OPS_ON_CODES,
    QUANTIZE_OPS,
    WEIGHTED,
)
from qdebug.graph.problems import explain_ort_error, is_known, unsupported_ops
from qdebug.graph.rewrite import constants_of
from qdebug.graph.shapes import infer_types
from qdebug.graph.validity import name_of
from qdebug.run.model import CutInfo

_QUANTIZING = QUANTIZE_OPS | DEQUANTIZE_OPS | FAKE_QUANTIZE_OPS | OPS_ON_CODES
_LEAST_LEFT = 0.5
"""Share of the layers with weights that must lie before a cut that nobody asked for (by judgement:
with fewer, most of the network would be left out, and a verdict would speak of the rest only)."""
_REALS = (
    onnx.TensorProto.UNDEFINED,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)


@dataclass(frozen=True)
class Cut:
    """A graph without its end.

    Attributes:
        graph: what is left of it; its outputs are where it was cut, and those that it kept.
        whole: as it was.
        gone: the nodes that were cut off, in execution order.
    """

    graph: Graph
    whole: Graph
    gone: tuple[Node, ...]

    @property
    def info(self) -> CutInfo:
        """What a run says of it."""
        foreign = dict.fromkeys(n.op for n in self.gone if not _is_known(n))
        left = [name for name in self.whole.inputs if name not in self.graph.inputs]
        return CutInfo(
            outputs=tuple(self.graph.outputs),
            operators=tuple(foreign),
            nodes=len(self.gone),
            layers=sum(_has_weight(self.whole, node) for node in self.gone),
            inputs=tuple(left),
        )


def before_foreign(graph: Graph) -> Cut | None:
    """Cut a graph before the operators that ONNX Runtime does not have.

    Returns:
        None where it has them all.

    Raises:
        ModelError: they are of a kind whose absence would leave nothing worth comparing: they
            quantize, or most layers lie behind them, or they read the model's inputs only.
    """
    foreign = [node for node in graph.nodes if not _is_known(node)]
    if not foreign:
        return None
    gone = _behind(graph, foreign)
    outputs = _ends(graph, gone)
    weighted = [node for node in graph.nodes if _has_weight(graph, node)]
    kept = sum(node.index not in gone for node in weighted)
    quantizing = any(node.op in _QUANTIZING for node in foreign)
    if not outputs or quantizing or kept < _LEAST_LEFT * len(weighted):
        raise _refusal(graph, kept, len(weighted))
    return at(graph, outputs)


def at(graph: Graph, tensors: Sequence[str]) -> Cut:
    """Cut a graph at tensors, which become its outputs.

    Args:
        graph: of any operators.
        tensors: that it computes.

    Raises:
        ModelError: one of them needs an operator that ONNX Runtime does not have.
    """
    needed = graph.ancestors(tensors)
    kept = [node for node in graph.nodes if node.index in needed]
    gone = tuple(n for n in graph.nodes if n.index not in needed and n.op != "Constant")
    foreign = next((node for node in kept if not _is_known(node)), None)
    if foreign is not None:
        raise ModelError(
            f"{graph.path.name} needs the operator {foreign.op} at {name_of(foreign.label)} before "
            f"{name_of(tensors[0])}, and ONNX Runtime does not have it",
            "name tensors that are computed before it: --outputs NAME,...",
        )
    return Cut(_left(graph, kept, tensors), graph, gone)


def named(graph: Graph, text: str) -> list[str]:
    """The tensors that ``--outputs`` names: names or nodes, commas between.

    Raises:
        UsageError: one of them is not computed by the graph.
    """
    found: dict[str, None] = {}
    nodes = {node.label: next(filter(None, node.outputs), "") for node in graph.nodes}
    words = [text] if text in graph.producer else text.split(",")
    for word in (word.strip() for word in words):
        tensor = word if word in graph.producer else nodes.get(word)
        if not tensor:
            near = difflib.get_close_matches(word, [*graph.producer, *nodes], n=1)
            told = f"did you mean {name_of(near[0])}?" if near else "see them with qdebug compare"
            raise UsageError(
                f"--outputs: {graph.path.name} computes no tensor {name_of(word)}",
                f"{told}; names are separated by commas",
            )
        found[tensor] = None
    return list(found)


def _is_known(node: Node) -> bool:
    """Whether ONNX Runtime has a node's operator, and those inside its bodies."""
    if not is_known(node.op, node.domain):
        return False
    return all(is_known(inner.op_type, inner.domain) for inner in _inner(node.proto))


def _inner(node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield inner
                yield from _inner(inner)


def _has_weight(graph: Graph, node: Node) -> bool:
    inputs = node.inputs[1:2] if node.op in WEIGHTED else ()
    return any(graph.is_constant(name) or _is_stored(graph, name) for name in inputs if name)


def _is_stored(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is read from codes that are stored."""
    node = graph.producer.get(tensor)
    return node is not None and node.op in DEQUANTIZE_OPS and graph.is_constant(node.inputs[0])


def _behind(graph: Graph, start: Sequence[Node]) -> set[int]:
    """The nodes, and all that need them."""
    gone = {node.index for node in start}
    lost = {name for node in start for name in node.outputs}
    for node in graph.nodes:
        if node.index in gone or any(name in lost for name in node.reads):
            gone.add(node.index)
            lost.update(filter(None, node.outputs))
    return gone


def _ends(graph: Graph, gone: set[int]) -> list[str]:
    """What is left of the outputs, and what the cut nodes read of the rest.

    Sizes and indices that they read as well are left out where they read real values.
    """
    fixed = constants_of(graph)
    lost = {name for node in graph.nodes if node.index in gone for name in node.outputs}
    reads = [name for node in graph.nodes if node.index in gone for name in node.reads]
    read = [x for x in dict.fromkeys(reads) if x in graph.producer and x not in fixed | lost]
    real = [name for name in read if graph.type_of(name).elem_type in _REALS]
    kept = [name for name in graph.outputs if name not in lost and name in graph.producer]
    return list(dict.fromkeys([*kept, *(real or read)]))


def _left(graph: Graph, nodes: Sequence[Node], outputs: Sequence[str]) -> Graph:
    read = {name for node in nodes for name in node.reads} | set(outputs)
    source = graph.proto
    made = helper.make_graph(
        [node.proto for node in nodes],
        source.graph.name or "cut",
        [item for item in source.graph.input if item.name in read],
        [_output(graph, name) for name in outputs],
        [item for item in source.graph.initializer if item.name in read],
        value_info=list(source.graph.value_info),
    )
    made.sparse_initializer.extend(source.graph.sparse_initializer)
    used = {node.domain for node in nodes} | {"", "ai.onnx"}
    used |= {inner.domain for node in nodes for inner in _inner(node.proto)}
    opsets = [entry for entry in source.opset_import if entry.domain in used]
    model = helper.make_model(made, opset_imports=opsets, ir_version=source.ir_version)
    model.metadata_props.extend(source.metadata_props)
    model.producer_name, model.producer_version = source.producer_name, source.producer_version
    left = Graph(model, graph.path, graph.sha256, graph.files, folder=graph.folder, is_made=True)
    left.types = infer_types(left)
    return left


def _output(graph: Graph, name: str) -> onnx.ValueInfoProto:
    kind = graph.type_of(name)
    if not kind.elem_type:
        return onnx.ValueInfoProto(name=name)
    return helper.make_tensor_value_info(name, kind.elem_type, kind.shape)


def _refusal(graph: Graph, kept: int, weighted: int) -> ModelError:
    error = explain_ort_error(graph, "")
    if any(item.op in _QUANTIZING for item in unsupported_ops(graph)):
        return error
    left = f"; before it lie {kept} of {weighted} layers with weights"
    return ModelError(
        error.message + left, f"{error.hint}, or say up to where to compare: --outputs NAME,..."
    )
