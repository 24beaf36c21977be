"""Builds the graph in which a change is made: what it reaches, and what that needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper

from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.kept import reached_nodes
from qdebug.analysis.what_if.replacing import Replacement, Replacements
from qdebug.analysis.what_if.switches import with_switches
from qdebug.graph.model import Graph
from qdebug.graph.pairs import TensorForm
from qdebug.graph.rewrite import PartBuilder
from qdebug.graph.walk import walk

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Span:
    """Which tensors of the quant graph a change's graph has to do with.

    Attributes:
        begins: kept ones that it takes from the graph as it is.
        reads: what its nodes read or it gives, as the graph as it is names them.
        needs: what stands in for others is made of these.
        replaced: those whose readers read something else.
        changed: those that are not what they were.
    """

    begins: frozenset[str]
    reads: frozenset[str]
    needs: frozenset[str]
    replaced: frozenset[str]
    changed: frozenset[str]


@dataclass(frozen=True)
class Built:
    """What the graph of a change is like.

    Attributes:
        change: what it does otherwise.
        nodes: how many it has.
        where: tensor that holds each compared output, in it or kept.
        span: which tensors of the quant graph it has to do with.
        ends: changed tensors that it gives besides the compared outputs.
    """

    change: Change
    nodes: int
    where: Mapping[str, str]
    span: Span
    ends: Sequence[str]


class Building:
    """Builds the graphs of changes.

    Args:
        graph: the quant graph.
        replacements: in it.
        outputs: float output name to quant output name, of those that are compared.
        forms: how the quant graph holds the tensors of pairs, by float name.
        kept: values of tensors that need not be computed, by name, of any sample.
    """

    def __init__(
        self,
        graph: Graph,
        replacements: Replacements,
        outputs: Mapping[str, str],
        forms: Mapping[str, TensorForm],
        kept: Mapping[str, Array],
    ) -> None:
        self.graph, self.replacements, self.outputs = graph, replacements, outputs
        self.forms, self.kept = forms, kept

    def build(
        self,
        change: Change,
        *,
        switched: bool = False,
        ends: Callable[[Span], Sequence[str]] = lambda _: (),
    ) -> tuple[onnx.ModelProto, Built]:
        """The graph of a change, and what it is like.

        Args:
            change: what to do otherwise.
            switched: make each part of it only where its switch is on.
            ends: which of the changed tensors it shall give besides.

        Raises:
            KeyError, ValueError: it cannot be made.
        """
        graph, builder = self.graph, PartBuilder(self.graph)
        renames: dict[str, str] = {}
        replaced = self.replacements.all(change, builder, renames)
        if switched:
            replaced = with_switches(replaced, builder)
        renames.update({tensor: r.new for r in replaced for tensor in r.readings})
        reached = reached_nodes(graph, renames)
        computed = {name for index in reached for name in graph.nodes[index].outputs if name}
        changed = computed | set(renames)
        kept = {f: q for f, q in self.outputs.items() if self._is_kept(f, q) and q not in changed}
        open_ones = [q for f, q in self.outputs.items() if f not in kept]
        read = list(self._reads(reached))
        wanted = [name for name in (*read, *open_ones) if name not in changed]
        wanted += [name for r in replaced for name in r.needs if name not in computed]
        before, begins = self._before(wanted, builder)
        due = deque(sorted(((self._due(r), r.emit) for r in replaced), key=lambda item: item[0]))
        for index in sorted(reached | before):
            while due and due[0][0] < index:
                due.popleft()[1]()
            builder.add_nodes([graph.nodes[index]], renames)
        for _, emit in due:
            emit()
        made = {f: self._output(f, renames, builder) for f in self.outputs if f not in kept}
        span = Span(
            begins=frozenset(begins).union(kept.values()),
            reads=frozenset(read).union(wanted, self.outputs.values(), self._reads(before)),
            needs=frozenset(name for r in replaced for name in (r.raw, *r.needs)),
            replaced=frozenset(renames),
            changed=frozenset(changed),
        )
        given = ends(span)
        for name in given:
            builder.add_output(name)
        model = builder.build()
        where = {f: (kept | made)[f] for f in self.outputs}  # in one order, whatever is kept
        return model, Built(change, len(model.graph.node), where, span, given)

    def _reads(self, nodes: Iterable[int]) -> Iterator[str]:
        return (name for index in nodes for name in self.graph.nodes[index].reads)

    def _is_kept(self, float_name: str, quant_name: str) -> bool:
        form = self.forms.get(float_name)
        return quant_name in self.kept and (form is None or form.perm is None)

    def _due(self, replacement: Replacement) -> int:
        """Index of the last node that a replacement waits for."""
        makers = map(self.graph.producer.get, (replacement.raw, *replacement.needs))
        return max((node.index for node in makers if node is not None), default=-1)

    def _before(self, wanted: Sequence[str], builder: PartBuilder) -> tuple[set[int], list[str]]:
        """Nodes that unchanged tensors need, back to what is kept, which becomes a model input."""
        graph, kept = self.graph, self.kept
        begins: list[str] = []
        found = walk(wanted, lambda name: () if name in kept else graph.sources(name))
        nodes: set[int] = set()
        for name in dict.fromkeys([*graph.inputs, *found]):
            if name in kept:
                value = kept[name]
                kind = helper.np_dtype_to_tensor_dtype(value.dtype)
                builder.add_input(name, kind, [None] * value.ndim)
                begins.append(name)
            elif name in graph.producer:
                nodes.add(graph.producer[name].index)
            elif name in graph.inputs:
                known = graph.type_of(name)
                builder.add_input(name, known.elem_type, known.shape)
        return nodes, begins

    def _output(self, name: str, renames: Mapping[str, str], builder: PartBuilder) -> str:
        quant_name = self.outputs[name]
        held = renames.get(quant_name, quant_name)
        form = self.forms.get(name)
        if form is not None and form.perm is not None:
            elem_type = self.graph.type_of(quant_name).elem_type
            held = builder.decode(held, form, elem_type, f"out/{name}")
        builder.add_output(held)
        return held
