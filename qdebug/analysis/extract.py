"""The smallest pair of graphs around one layer that still shows its error.

Both parts have the same inputs: the float run's values of the tensors that the layer reads. The
quant part brings them through the Q/DQ nodes that the layer reads them through in the whole model,
computes the layer, and ends behind the layer's own Q/DQ pair. So what the two parts' outputs differ
by is the layer's local error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, external_data_helper, helper

from qdebug.errors import ModelError, UsageError
from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.pairs import Pair
from qdebug.graph.rewrite import PREFIX, PartBuilder

_STORABLE = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})
Types = Mapping[str, TensorType]


@dataclass(frozen=True)
class PartInput:
    """One input of both parts.

    Attributes:
        name: its name in both.
        elem_type: ONNX element type.
        shape: fixed.
        position: pair whose float value is fed; None for a model's own input.
        float_input: input of the float model whose feed it takes; None where there is none.
        quant_input: input of the quant model that it stands for; None where there is none.
    """

    name: str
    elem_type: int
    shape: tuple[int, ...]
    position: int | None = None
    float_input: str | None = None
    quant_input: str | None = None


@dataclass(frozen=True)
class Parts:
    """The two parts, with their only outputs."""

    inputs: tuple[PartInput, ...]
    float_model: onnx.ModelProto
    quant_model: onnx.ModelProto
    float_output: str
    quant_output: str


@dataclass(frozen=True)
class Cut:
    """Where the two graphs are cut.

    Attributes:
        at: position of the layer's pair.
        sources: positions of the pairs whose float values are fed.
        float_nodes: nodes of the float part, in execution order.
        quant_nodes: nodes of the quant part, in execution order.
    """

    at: int
    sources: tuple[int, ...]
    float_nodes: tuple[Node, ...] = field(repr=False)
    quant_nodes: tuple[Node, ...] = field(repr=False)


def cut_around(
    graphs: tuple[Graph, Graph],
    pairs: Sequence[Pair],
    usable: Collection[int],
    at: int,
    context: int = 0,
) -> Cut:
    """Choose what belongs to the parts.

    Args:
        graphs: float and quant graph.
        pairs: all pairs, by position.
        usable: positions of the pairs whose two sides have a known and equal shape.
        at: position of the layer's pair.
        context: how many layers upstream are taken in too.

    Raises:
        UsageError: nothing computes the tensor: it is an input of the model.
    """
    target = pairs[at]
    if target.raw not in graphs[1].producer or target.float_tensor not in graphs[0].producer:
        raise UsageError(
            f"{target.float_tensor} is an input of the model, which no layer computes",
            "name a layer behind it",
        )
    feedable = {
        pairs[i].raw: i
        for i in usable
        if i != at and pairs[i].raw != target.raw and pairs[i].raw in graphs[1].producer
    }
    reached, quant_nodes = _reached(graphs[1], target.read, feedable)
    for _ in range(context):
        feedable = {raw: i for raw, i in feedable.items() if i not in reached}
        reached, quant_nodes = _reached(graphs[1], target.read, feedable)
    ends = {pairs[i].float_tensor for i in reached}
    chosen = graphs[0].ancestors([target.float_tensor], ends)
    float_nodes = tuple(graphs[0].nodes[index] for index in sorted(chosen))
    return Cut(at, tuple(sorted(reached)), float_nodes, quant_nodes)


def _reached(
    graph: Graph, tensor: str, feedable: Mapping[str, int]
) -> tuple[set[int], tuple[Node, ...]]:
    """The nearest tensors upstream that can be fed, and the nodes from there to the tensor."""
    nodes = tuple(graph.nodes[index] for index in sorted(graph.ancestors([tensor], feedable)))
    return {feedable[name] for node in nodes for name in node.reads if name in feedable}, nodes


def build_parts(
    graphs: tuple[Graph, Graph],
    types: tuple[Types, Types],
    pairs: Sequence[Pair],
    cut: Cut,
    shared: Mapping[str, str],
) -> Parts:
    """Build the two parts.

    Args:
        graphs: float and quant graph.
        types: of all their tensors, for the inputs they run on.
        pairs: all pairs, by position.
        cut: what belongs to the parts.
        shared: input of the quant model to the input of the float model that holds the same
            values; the others are fed on their own.

    Raises:
        ModelError: a value at the cut is of a type that ``.npz`` files cannot hold.
    """
    inputs = _inputs(graphs, types, pairs, cut, shared)
    float_names = {pairs[i.position].float_tensor: i.name for i in inputs if i.position is not None}
    float_names |= {i.float_input: i.name for i in inputs if i.float_input is not None}
    target = pairs[cut.at]
    builder = _with_inputs(graphs[0], inputs)
    builder.add_nodes(cut.float_nodes, _changed(float_names))
    builder.add_output(target.float_tensor)
    float_model = _finished(builder, graphs[0], types[0].get(target.float_tensor))
    quant_model, quant_output = _quant_part(graphs[1], types, pairs, cut, inputs)
    return Parts(inputs, float_model, quant_model, target.float_tensor, quant_output)


def _quant_part(
    graph: Graph,
    types: tuple[Types, Types],
    pairs: Sequence[Pair],
    cut: Cut,
    inputs: Sequence[PartInput],
) -> tuple[onnx.ModelProto, str]:
    """The quant part and its output, real numbers in the float graph's layout."""
    builder = _with_inputs(graph, inputs)
    tag = _free_tag(graph)
    names = {i.quant_input: i.name for i in inputs if i.quant_input is not None}
    for number, item in enumerate(inputs):
        if item.position is not None:
            pair = pairs[item.position]
            names[pair.raw] = _as_raw(builder, pair, item, types[1], f"{tag}/{number}")
    builder.add_nodes(cut.quant_nodes, _changed(names))
    target = pairs[cut.at]
    made = types[1].get(target.read, TensorType(0, None))
    output = builder.decode(target.read, target.read_form, made.elem_type, f"{tag}/out")
    builder.add_output(output)
    real = TensorType(TensorProto.FLOAT, types[0][target.float_tensor].shape)
    model = _finished(builder, graph, made if output == target.read else real)
    return model, output.removeprefix(PREFIX)


def _as_raw(builder: PartBuilder, pair: Pair, item: PartInput, types: Types, tag: str) -> str:
    """An input in the form that the quant graph's tensor has."""
    known = types.get(pair.raw, TensorType(0, None))
    form = pair.raw_form
    plain = form.quantizer is None and form.perm is None and form.shape is None
    if plain and known.elem_type in (item.elem_type, 0):
        return item.name
    name = item.name
    if item.elem_type != TensorProto.FLOAT:
        name = builder.emit("Cast", [name], f"{PREFIX}{tag}/float", to=TensorProto.FLOAT)
    return builder.encode(name, form, known.elem_type, known.fixed_shape, tag)


def _inputs(
    graphs: tuple[Graph, Graph],
    types: tuple[Types, Types],
    pairs: Sequence[Pair],
    cut: Cut,
    shared: Mapping[str, str],
) -> tuple[PartInput, ...]:
    """What both parts are fed with; an input that only one of them reads stands in both."""
    names = _Names(cut)
    found = [_tensor_input(names, pairs[i], i, types[0]) for i in cut.sources]
    fed = {pairs[i].float_tensor for i in cut.sources}
    read = _reads(cut.float_nodes) - fed
    wanted = _reads(cut.quant_nodes)
    own = {quant: shared.get(quant) for quant in graphs[1].inputs if quant in wanted}
    for name in graphs[0].inputs:
        quant = next((q for q, f in own.items() if f == name), None)
        if name in read or quant is not None:
            kind = _storable(name, types[0][name])
            alias = names.take(name, quant or "")
            found.append(PartInput(alias, *kind, float_input=name, quant_input=quant))
    for quant, float_name in own.items():
        if float_name is None:
            kind = _storable(quant, types[1][quant])
            alias = names.take(quant, f"quant_{quant}")
            found.append(PartInput(alias, *kind, quant_input=quant))
    return tuple(found)


def _tensor_input(names: _Names, pair: Pair, position: int, types: Types) -> PartInput:
    kind = _storable(pair.float_tensor, types[pair.float_tensor], real=True)
    return PartInput(names.take(pair.float_tensor, pair.raw), *kind, position=position)


def _storable(tensor: str, kind: TensorType, real: bool = False) -> tuple[int, tuple[int, ...]]:
    """Element type and shape; raises where a file cannot hold it."""
    shape = kind.fixed_shape
    no_numbers = kind.elem_type in (TensorProto.STRING, TensorProto.BFLOAT16)
    if shape is None or no_numbers or (real and kind.elem_type not in _STORABLE):
        what = "a shape that depends on its values" if shape is None else f"type {kind.dtype}"
        raise ModelError(
            f"the layer reads {tensor}, which has {what} and cannot be stored as its input",
            "name a layer further down, or take more of the graph in with --context",
        )
    return kind.elem_type, shape


class _Names:
    """Names of inputs that no tensor inside the parts has."""

    def __init__(self, cut: Cut) -> None:
        nodes = (*cut.float_nodes, *cut.quant_nodes)
        self._made = {name for node in nodes for name in node.outputs}

    def take(self, *wanted: str) -> str:
        """The first of these names that is free, or one made of the first."""
        numbered = (f"{wanted[0]}_{number}" for number in range(len(self._made) + 1))
        free = (n for n in (*wanted, *numbered) if n and n not in self._made)
        name = next(free)
        self._made.add(name)
        return name


def _reads(nodes: Iterable[Node]) -> set[str]:
    return {name for node in nodes for name in node.reads}


def _changed(names: Mapping[str, str]) -> dict[str, str]:
    return {old: new for old, new in names.items() if old != new}


def _with_inputs(graph: Graph, inputs: Iterable[PartInput]) -> PartBuilder:
    builder = PartBuilder(graph)
    for item in inputs:
        builder.add_input(item.name, item.elem_type, item.shape)
    return builder


def _free_tag(graph: Graph) -> str:
    """A prefix for added tensors that no tensor of this graph has, itself extracted perhaps."""
    number, names = 0, set(graph.producer) | set(graph.initializers)
    while any(name.startswith(f"part{number}/") for name in names):
        number += 1
    return f"part{number}"


def _finished(builder: PartBuilder, graph: Graph, output: TensorType | None) -> onnx.ModelProto:
    """The model, complete in itself: weights inside, its output typed, no internal names."""
    model = builder.build()
    external_data_helper.load_external_data_for_model(model, str(graph.folder))
    model.producer_name = "qdebug"
    declared = model.graph.output[0]
    if output is not None:
        made = helper.make_tensor_value_info(declared.name, output.elem_type, output.shape)
        declared.CopyFrom(made)
    for node in model.graph.node:
        node.name = node.name.removeprefix(PREFIX)
        node.input[:] = [name.removeprefix(PREFIX) for name in node.input]
        node.output[:] = [name.removeprefix(PREFIX) for name in node.output]
    for item in (*model.graph.initializer, declared):
        item.name = item.name.removeprefix(PREFIX)
    return model
