"""The models that are run: one part of each graph for each segment of the memory plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from qdebug.capture.plan import Schedule
from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.pairs import Pair, TensorForm
from qdebug.graph.rewrite import PREFIX, PartBuilder, renamed
from qdebug.graph.walk import walk

_FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Tap:
    """A tensor to measure.

    Attributes:
        position: of its pair.
        tensor: its name in the graph.
        form: how it holds real values.
    """

    position: int
    tensor: str
    form: TensorForm


@dataclass
class Part:
    """A model of one segment.

    Attributes:
        model: to be run.
        taps: pair position to output name (float32, float graph's layout).
        direct: pair position to model input or carried tensor, where no node of the part makes it.
        carries: outputs that later segments read.
        float_inputs: model input name to the pair position whose float value it takes.
    """

    model: onnx.ModelProto
    taps: dict[int, str] = field(default_factory=dict)
    direct: dict[int, str] = field(default_factory=dict)
    carries: tuple[str, ...] = ()
    float_inputs: dict[str, int] = field(default_factory=dict)


def side_part(
    graph: Graph,
    types: Mapping[str, TensorType],
    plan: Schedule,
    segment: range,
    taps: Sequence[Tap],
) -> Part:
    """One segment of one graph, every tap of it an output.

    Args:
        graph: float or quant graph.
        types: of its tensors.
        plan: when each node is needed.
        segment: pair positions of the segment.
        taps: the tensors to measure in it.
    """
    chosen = {index for at in segment for index in plan.nodes.get(at, ())}
    wanted = [tap.tensor for tap in taps]
    nodes = _with_constants(graph, chosen, plan.constant, wanted)
    builder = PartBuilder(graph)
    builder.add_nodes(nodes)
    part = Part(onnx.ModelProto())
    made = {name for node in nodes for name in node.outputs}
    for tap in taps:
        elem_type = types.get(tap.tensor, TensorType(0, None)).elem_type
        name = builder.decode(tap.tensor, tap.form, elem_type, f"tap/{tap.position}")
        if name == tap.tensor and name not in made:
            part.direct[tap.position] = name
        else:
            part.taps[tap.position] = name
            builder.add_output(name)
    part.carries = tuple(_read_later(graph, plan, segment, made))
    for name in part.carries:
        builder.add_output(name)
    decoded = [tap.tensor for tap in taps if tap.position in part.taps]
    _add_missing_inputs(builder, graph, types, nodes, decoded)
    part.model = builder.build()
    return part


def local_part(
    graph: Graph,
    types: Mapping[str, TensorType],
    pairs: Sequence[Pair],
    shapes: Mapping[int, tuple[int, ...]],
    segment: Iterable[int],
) -> Part | None:
    """The quant layers of one segment, each fed with the float run's values.

    Every consumer of a paired tensor reads the float value, brought to the quant graph's form and
    through the tensor's own Q/DQ pair; the pair's own value is measured behind a copy of that
    Q/DQ pair. So each layer sees float inputs, whatever the layers before it do.

    Args:
        graph: the quant graph.
        types: of its tensors.
        pairs: all pairs, by position.
        shapes: float shape by position, of pairs whose two sides agree in shape.
        segment: positions to measure.

    Returns:
        The part, or None where the segment has no quant layer to measure.
    """
    sources = {
        pair.raw: at
        for at, pair in enumerate(pairs)
        if at in shapes and pair.raw not in graph.inputs
    }
    measured = [at for at in segment if at in shapes and pairs[at].raw in graph.producer]
    if not measured:
        return None
    return _LocalPart(graph, types, pairs, shapes, sources).build(measured)


def local_shapes(
    pairs: Sequence[Pair],
    float_types: Mapping[str, TensorType],
    quant_types: Mapping[str, TensorType],
) -> dict[int, tuple[int, ...]]:
    """Shapes, by position, of the pairs whose float value can stand in for the quant one.

    Args:
        pairs: all pairs, by position.
        float_types: of the float graph's tensors.
        quant_types: of the quant graph's.
    """
    found = {}
    for at, pair in enumerate(pairs):
        shape = float_types.get(pair.float_tensor, TensorType(0, None)).fixed_shape
        if shape is not None and _fits(shape, pair, quant_types.get(pair.read)):
            found[at] = shape
    return found


def _fits(shape: tuple[int, ...], pair: Pair, quant_type: TensorType | None) -> bool:
    if quant_type is None or quant_type.fixed_shape is None or pair.read_form.shape is not None:
        return quant_type is not None
    found = quant_type.fixed_shape
    if pair.read_form.perm is not None:
        found = tuple(found[axis] for axis in pair.read_form.perm)
    return found == shape


class _LocalPart:
    """Builds one local part; see ``local_part``."""

    def __init__(
        self,
        graph: Graph,
        types: Mapping[str, TensorType],
        pairs: Sequence[Pair],
        shapes: Mapping[int, tuple[int, ...]],
        sources: Mapping[str, int],
    ) -> None:
        self.graph, self.types, self.pairs = graph, types, pairs
        self.shapes, self.sources = shapes, sources
        self.builder = PartBuilder(graph)
        self.part = Part(onnx.ModelProto())

    def build(self, measured: Sequence[int]) -> Part:
        nodes = self._layer_nodes(measured)
        reads = {name for node in nodes for name in node.reads}
        sources = sorted(reads & self.sources.keys(), key=self.sources.__getitem__)
        fed = {raw: self._float_input(raw) for raw in sources}
        self.builder.add_nodes(nodes, fed)
        for at in measured:
            self.part.taps[at] = self._measured_output(at)
            self.builder.add_output(self.part.taps[at])
        _add_missing_inputs(self.builder, self.graph, self.types, nodes, (), set(fed))
        self.part.model = self.builder.build()
        return self.part

    def _layer_nodes(self, measured: Sequence[int]) -> list[Node]:
        graph = self.graph
        chosen: set[int] = set()
        for at in measured:
            maker = graph.producer[self.pairs[at].raw]
            chosen.add(maker.index)
            for index in self.pairs[at].path:
                inputs = [n for n in graph.nodes[index].reads if n != self.pairs[at].raw]
                chosen |= graph.ancestors(inputs, self.sources)
            chosen |= graph.ancestors(maker.reads, self.sources)
        return [graph.nodes[index] for index in sorted(chosen)]

    def _float_input(self, raw: str) -> str:
        """The float value of a pair, in the form the quant layer's tensor has."""
        at = self.sources[raw]
        name = self.builder.add_input(f"{PREFIX}float/{at}", _FLOAT, self.shapes[at])
        self.part.float_inputs[name] = at
        quant_type = self.types.get(raw, TensorType(0, None))
        return self.builder.encode(
            name,
            self.pairs[at].raw_form,
            quant_type.elem_type,
            quant_type.fixed_shape,
            f"feed/{at}",
        )

    def _measured_output(self, at: int) -> str:
        pair = self.pairs[at]
        names: dict[str, str] = {}
        for index in pair.path:
            node = self.graph.nodes[index]
            copy = onnx.NodeProto()
            copy.CopyFrom(renamed(node.proto, names))
            for slot, output in enumerate(node.outputs):
                if output:
                    names[output] = f"{PREFIX}local/{at}/{output}"
                    copy.output[slot] = names[output]
            copy.name = f"{PREFIX}local/{at}/{index}"
            self.builder.add_copy(copy)
        read = names.get(pair.read, pair.raw)
        elem_type = self.types.get(pair.read, TensorType(0, None)).elem_type
        return self.builder.decode(read, pair.read_form, elem_type, f"local/{at}")


def _with_constants(
    graph: Graph, chosen: set[int], constant: frozenset[int], wanted: Iterable[str]
) -> list[Node]:
    """The chosen nodes with the constant ones they read, in execution order."""

    def made_of(tensor: str) -> tuple[str, ...]:
        return graph.sources(tensor) if _index(graph, tensor) in constant else ()

    read = [name for index in chosen for name in graph.nodes[index].reads]
    reached = {_index(graph, tensor) for tensor in walk([*read, *wanted], made_of)}
    return [graph.nodes[index] for index in sorted(chosen | (reached & constant))]


def _index(graph: Graph, tensor: str) -> int:
    """Of the node that makes the tensor, -1 where none does."""
    node = graph.producer.get(tensor)
    return -1 if node is None else node.index


def _read_later(graph: Graph, plan: Schedule, segment: range, made: set[str]) -> list[str]:
    """Tensors made in this segment that later ones read or measure."""

    def is_carried(name: str) -> bool:
        is_constant = _index(graph, name) in plan.constant
        return not is_constant and plan.last_use(graph, name) >= segment.stop

    return sorted(filter(is_carried, made))


def _add_missing_inputs(
    builder: PartBuilder,
    graph: Graph,
    types: Mapping[str, TensorType],
    nodes: Sequence[Node],
    wanted: Sequence[str],
    given: Iterable[str] = (),
) -> None:
    """Make an input of every tensor that the nodes read and nobody in the part makes."""
    made = {name for node in nodes for name in node.outputs} | set(given)
    reads = dict.fromkeys([*(name for node in nodes for name in node.reads), *wanted])
    for name in reads:
        if name not in made and name not in graph.initializers:
            known = types.get(name, graph.type_of(name))
            builder.add_input(name, known.elem_type or _FLOAT, known.fixed_shape)
