"""Several changes in one graph: each tensor that one of them replaces has a switch.

Opening a session of a whole graph takes half as long as running it once. Where changes differ only
in which layers are in float, one graph computes both values of these layers' tensors, and a scalar
input for each layer says which of the two is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import onnx
from onnx import helper

from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.replacing import Replacement
from qdebug.graph.rewrite import PartBuilder

MOST_ALIKE = 0.8
"""Changes share a session if each reaches so much of what any of them reaches: the nodes before a
late change would be run for nothing. By judgement."""


def only_in_float(change: Change) -> bool:
    """Whether a change does nothing but keep tensors and weights in float."""
    return bool(change) and change == Change(change.free, change.weights)


def together(changes: Sequence[Change], reached: Callable[[Change], int]) -> Iterator[list[Change]]:
    """Those of some changes that may well share a session, several at a time.

    Args:
        changes: what may be done, one by one.
        reached: number of nodes that a change reaches.
    """
    left = [(change, reached(change)) for change in changes if only_in_float(change)]
    while left:
        least = MOST_ALIKE * max(nodes for _, nodes in left)
        alike = [change for change, nodes in left if nodes >= least]
        left = [(change, nodes) for change, nodes in left if nodes < least]
        if len(alike) > 1 and least > 0:
            yield alike


def with_switches(replaced: Sequence[Replacement], builder: PartBuilder) -> list[Replacement]:
    """The replacements, what each makes being read only where its switch is on."""
    for name in dict.fromkeys(item.switch for item in replaced):
        builder.add_input(name, onnx.TensorProto.BOOL, [])
    made = [replace(item, readings=[]) for item in replaced]
    latest: dict[str, str] = {}  # layers that share a weight: one switch behind the other
    for item in replaced:
        for reading in item.readings:
            made.append(_switched(item, reading, latest.get(reading, reading), builder))
            latest[reading] = made[-1].new
    return made


def _switched(item: Replacement, reading: str, otherwise: str, builder: PartBuilder) -> Replacement:
    new = f"{item.switch}/{reading}"
    choices = {"then_branch": item.new, "else_branch": otherwise}

    def emit() -> None:
        branches = {slot: _passed_on(value, f"{new}/{slot}") for slot, value in choices.items()}
        builder.emit("If", [item.switch], new, **branches)

    return Replacement([reading], item.raw, new, emit, (*item.needs, reading))


def _passed_on(value: str, name: str) -> onnx.GraphProto:
    """A branch that gives a tensor of the graph around it."""
    node = helper.make_node("Identity", [value], [name], name=name)
    return helper.make_graph([node], name, [], [onnx.ValueInfoProto(name=name)])
