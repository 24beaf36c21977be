"""Finding the tensors of a float graph that a toolchain's entries speak of.

Toolchains rename. Each name goes down a ladder until it meets something in the graph: a tensor of
that name, a tensor as the toolchain spells it, a node, a tensor but for characters that tools
replace, a tensor but for what the toolchain appends. A rung counts where it leads to one tensor
only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import onnx

from qdebug.encodings.model import Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.graph.model import Graph
from qdebug.graph.validity import name_of

NO_TENSOR = "no tensor has that name"
Rung = Literal["tensor", "spelling", "node", "sanitized", "suffix"]

_HOLDS_REALS = (
    0,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)


@dataclass(frozen=True)
class Placement:
    """An entry and where it belongs.

    Attributes:
        entry: the entry.
        target: a tensor, or for an entry about a node its label; None where it has no place.
        rung: how it was found, None where it was not.
        reason: why it has no place, or is not used; empty otherwise.
    """

    entry: Entry
    target: str | None
    rung: Rung | None = None
    reason: str = ""

    @property
    def is_used(self) -> bool:
        """Whether it says something about the twin."""
        return self.target is not None and not self.reason


class Names:
    """The names of a float graph, as a toolchain may have changed them.

    Args:
        graph: the float graph.
        rules: of the toolchain.
    """

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self._suffix = re.compile(f"(?:{'|'.join(rules.suffixes)})$") if rules.suffixes else None

    @cached_property
    def tensors(self) -> list[str]:
        """Tensors that are computed or fed, in execution order."""
        made = [name for node in self.graph.nodes for name in node.outputs if name]
        return [*self.graph.inputs, *made]

    @cached_property
    def constants(self) -> list[str]:
        """Initializers and outputs of ``Constant``."""
        made = [n.outputs[0] for n in self.graph.nodes if n.op == "Constant"]
        return [*self.graph.initializers, *made]

    @cached_property
    def nodes(self) -> dict[str, str]:
        """Label of a node to its first output."""
        return {node.label: next(filter(None, node.outputs), "") for node in self.graph.nodes}

    @cached_property
    def _spelled(self) -> dict[str, list[str]]:
        if self.rules.spelled is None:
            return {}
        found: dict[str, list[str]] = {}
        for tensor in self.tensors:
            node = self.graph.producer.get(tensor)
            for text in self.rules.spelled(tensor, node.op if node else ""):
                found.setdefault(text, []).append(tensor)
        return found

    @cached_property
    def _sanitized(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for tensor in [*self.tensors, *self.constants]:
            found.setdefault(sanitized(tensor), []).append(tensor)
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset([*self.tensors, *self.constants])

    def find(self, name: str) -> tuple[str, Rung] | None:
        """The tensor that a name stands for, and how it was found."""
        rungs: Sequence[tuple[Rung, Callable[[str], Iterable[str]]]] = (
            ("tensor", lambda text: [text] if text in self._known else []),
            ("spelling", lambda text: self._spelled.get(text, [])),
            ("node", lambda text: [self.nodes[text]] if text in self.nodes else []),
            ("sanitized", lambda text: self._sanitized.get(sanitized(text), [])),
            ("suffix", self._stripped),
        )
        for rung, look in rungs:
            found = list(look(name))
            if len(found) == 1:
                return found[0], rung
        return None

    def _stripped(self, name: str) -> list[str]:
        """The tensor left when what the toolchain appends is taken off, one suffix at a time."""
        while self._suffix is not None and (match := self._suffix.search(name)) and match.start():
            name = name[: match.start()]
            if name in self._known:
                return [name]
        return []

    def missing(self, name: str) -> str:
        """Why a name is not in the graph."""
        made = (why for form, why in self.rules.made.items() if re.fullmatch(form, name))
        return next(made, NO_TENSOR)

    def label(self, name: str) -> str | None:
        """The node that a name stands for: its own, or the one that makes a tensor of that name."""
        if name in self.nodes:
            return name
        found = self.find(name)
        node = self.graph.producer.get(found[0]) if found else None
        return node.label if node is not None else None


def sanitized(name: str) -> str:
    """A name as tools write it that allow letters, digits and underscores only."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def place(graph: Graph, encodings: Encodings, rules: Rules) -> tuple[Placement, ...]:
    """Find the place of every entry.

    Two entries of one kind for one tensor and the same readers contradict each other: the one
    found higher up the ladder is used.
    """
    names = Names(graph, rules)
    placed = [
        Placement(entry, None, reason=entry.homeless) if entry.homeless else _placed(names, entry)
        for entry in encodings.entries
    ]
    placed = _without_rivals(placed)
    with_entry = frozenset(p.target for p in placed if p.target and p.entry.kind == "tensor")
    ignored = dict(_fused(graph, rules, with_entry))
    if rules.drop is not None:
        ignored |= rules.drop(graph, with_entry, _in_float(placed))
    return tuple(
        replace(p, reason=ignored[p.target])
        if p.is_used and p.entry.kind == "tensor" and p.target in ignored
        else p
        for p in placed
    )


def _in_float(placed: Iterable[Placement]) -> frozenset[str]:
    """Labels of the nodes that stay in float."""
    kept = (p for p in placed if p.entry.kind == "node" and p.entry.encoding.is_float)
    return frozenset(p.target for p in kept if p.target is not None)


def _placed(names: Names, entry: Entry) -> Placement:
    if entry.kind == "node":
        label = names.label(entry.name)
        if label is None:
            return Placement(entry, None, reason="no node or tensor has that name")
        return Placement(entry, label, "node")
    found = names.find(entry.name)
    if found is None:
        return Placement(entry, None, reason=names.missing(entry.name))
    tensor, rung = found
    kind = names.graph.type_of(tensor)
    if kind.elem_type not in _HOLDS_REALS:
        return Placement(
            entry, None, reason=f"{kind.dtype} in the float model, nothing to quantize"
        )
    misfit = _misfit(entry, kind.fixed_shape)
    if misfit:
        return Placement(entry, None, reason=misfit)
    return Placement(entry, tensor, rung, entry.unused)


def _misfit(entry: Entry, shape: tuple[int, ...] | None) -> str:
    """Why the scales of an entry cannot belong to a tensor of that shape; empty if they may."""
    scale = entry.encoding.scale
    if scale is not None and scale.size == 0:
        return "its list of scales is empty"
    if scale is None or scale.ndim == 0 or shape is None:
        return ""
    axis = entry.encoding.axis
    count = scale.shape[0] if scale.ndim == 1 else 0
    if axis is not None and not -len(shape) <= axis < len(shape):
        return f"its axis {axis} is not one of the tensor's {len(shape)}"
    if count and not entry.encoding.block_size:
        able = shape if axis is None else (shape[axis],)
        if count not in able:
            return f"{count} scales for {able[0] if axis is not None else list(shape)} channels"
    return ""


_HEIGHT = {"tensor": 0, "spelling": 1, "node": 2, "sanitized": 3, "suffix": 4}


def _without_rivals(placed: Sequence[Placement]) -> list[Placement]:
    best: dict[tuple[str, str, tuple[str, ...]], Placement] = {}
    for item in placed:
        if item.target is not None:
            key = (item.entry.kind, item.target, item.entry.readers)
            rival = best.get(key)
            if rival is None or _HEIGHT[item.rung or "suffix"] < _HEIGHT[rival.rung or "suffix"]:
                best[key] = item
    kept = set(map(id, best.values()))
    return [
        item
        if item.target is None or id(item) in kept
        else Placement(item.entry, None, reason=_rival(item, best))
        for item in placed
    ]


def _rival(item: Placement, best: dict[tuple[str, str, tuple[str, ...]], Placement]) -> str:
    winner = best[(item.entry.kind, item.target or "", item.entry.readers)]
    return f"{name_of(winner.entry.name)} stands for the same tensor"


def _fused(graph: Graph, rules: Rules, with_entry: frozenset[str]) -> Iterable[tuple[str, str]]:
    """Tensors that go into a fused activation alone, with the reason why no entry counts there."""
    for tensor in with_entry:
        after = fused_into(graph, rules, tensor)
        if after is not None:
            yield tensor, f"{after} is computed with what is before it"


def fused_into(graph: Graph, rules: Rules, tensor: str) -> str | None:
    """The operator that a toolchain fuses behind a tensor, where it does; else None."""
    readers = graph.readers.get(tensor, [])
    lone = len(readers) == 1 and tensor not in graph.outputs and tensor not in graph.inputs
    return readers[0].op if lone and readers[0].op in rules.fuses else None
