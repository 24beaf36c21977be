"""Several changes in one graph: each tensor that one of them replaces has a switch.

Opening a session of a whole graph takes half as long as running it once. Where changes differ only
in which layers are in float, one graph computes both values of these layers' tensors, and a scalar
input for each layer says which of the two is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.replacing import Replacement, switch_of_tensor, switch_of_weights
from qdebug.capture.session import Session
from qdebug.errors import QdebugError
from qdebug.graph.rewrite import PREFIX, PartBuilder

MOST_ALIKE = 0.8
"""Changes share a session if each reaches so much of what any of them reaches: the nodes before a
late change would be run for nothing. By judgement."""


@dataclass(frozen=True)
class Opened:
    """A session in which a change is made, or may be.

    Attributes:
        session: to be run; None where all that is compared is known already.
        where: tensor that holds each compared output, in what the session gives or in what is kept.
        whole: what its switches can do; None where it has none and the change is made outright.
    """

    session: Session | None
    where: Mapping[str, str]
    whole: Change | None = None

    def switches(self, change: Change) -> dict[str, npt.NDArray[np.bool_]]:
        """What its switches are fed for a change, by model input."""
        if self.whole is None:
            return {}
        free = {switch_of_tensor(at): at in change.free for at in self.whole.free}
        weights = {switch_of_weights(node): node in change.weights for node in self.whole.weights}
        return {name: np.array(is_on) for name, is_on in (free | weights).items()}


class Switched:
    """A session for several changes, opened when it is first needed.

    Args:
        changes: that can be made in it, and any part of all of them together.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        self.whole = Change()
        for change in changes:
            self.whole = change.on_top_of(self.whole)
        self._opening = threading.Lock()
        self._opened: Opened | None = None
        self._fails = False

    def covers(self, change: Change) -> bool:
        """Whether a change can be made in it."""
        inside = change.free <= self.whole.free and change.weights <= self.whole.weights
        return inside and only_in_float(change)

    def opened(self, opening: Callable[..., Opened]) -> Opened | None:
        """The session; None where it cannot be had.

        Args:
            opening: opens a session of a change, with switches (``switched``).
        """
        with self._opening:
            if self._opened is None and not self._fails:
                try:
                    self._opened = opening(self.whole, switched=True)
                except (QdebugError, KeyError, ValueError):
                    self._fails = True
        return self._opened


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
    return made + [_switched(item, name, builder) for item in replaced for name in item.readings]


def _switched(item: Replacement, reading: str, builder: PartBuilder) -> Replacement:
    new = f"{PREFIX}switched/{reading}"
    choices = {"then_branch": item.new, "else_branch": reading}

    def emit() -> None:
        branches = {slot: _passed_on(value, f"{new}/{slot}") for slot, value in choices.items()}
        builder.emit("If", [item.switch], new, **branches)

    return Replacement([reading], item.raw, new, emit, (*item.needs, reading))


def _passed_on(value: str, name: str) -> onnx.GraphProto:
    """A branch that gives a tensor of the graph around it."""
    node = helper.make_node("Identity", [value], [name], name=name)
    return helper.make_graph([node], name, [], [onnx.ValueInfoProto(name=name)])
