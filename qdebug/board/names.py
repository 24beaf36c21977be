"""Whose a dumped tensor is: a ladder from the exact name down to what toolchains make of names.

Every rung takes only what fits one layer. What fits several is left for the next rung, and in the
end for the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qdebug.dumps import Dump, DumpTensor
from qdebug.graph.pairs import Pair

_USUAL = (r":\d+$", r"_(f32|f16|bf16|si8|ui8|i8|u8|i32|fixed|int8|uint8|quantized|output|out)$")
"""What is often appended: an output's number, a data type."""


@dataclass(frozen=True)
class Named:
    """A dumped tensor and its layer.

    Attributes:
        tensor: of the dump.
        at: position of the layer's pair.
        by: the rung: ``map``, ``tensor``, ``node``, ``suffix``, ``sanitized``, ``values``.
    """

    tensor: DumpTensor
    at: int
    by: str


def sanitized(name: str) -> str:
    r"""A name as file names and C identifiers hold it (QNN's ``\W+`` to ``_``), lower case."""
    return re.sub(r"[\W_]+", "_", name).strip("_").casefold()


def map_names(
    dump: Dump, pairs: Sequence[Pair], labels: Sequence[str], ops: Sequence[str]
) -> tuple[list[Named], dict[str, str]]:
    """Find the layers of a dump's tensors.

    Args:
        dump: as read.
        pairs: all pairs, by position.
        labels: name of the float node that makes each.
        ops: its operator.

    Returns:
        What was found, one tensor a layer, and why the others were not, by name.
    """
    known = _Names(pairs, labels, ops)
    found: dict[int, Named] = {}
    reasons: dict[str, str] = {}
    for tensor in dump.tensors:
        made = dump.why_made(tensor.name)
        at, by = known.look_up(tensor, dump.suffixes) if made is None else (None, made)
        if at is None:
            reasons[tensor.name] = by
        elif at not in found or _rank(by) < _rank(found[at].by):
            if at in found:
                reasons[found[at].tensor.name] = f"{tensor.name} names the same layer better"
            found[at] = Named(tensor, at, by)
        else:
            reasons[tensor.name] = f"{found[at].tensor.name} names the same layer"
    return [found[at] for at in sorted(found)], reasons


RUNGS = ("map", "tensor", "node", "suffix", "sanitized", "values")


def _rank(by: str) -> int:
    return RUNGS.index(by)


class _Names:
    """Names of the layers, by what toolchains make of them."""

    def __init__(self, pairs: Sequence[Pair], labels: Sequence[str], ops: Sequence[str]) -> None:
        tensors = {
            at: [pair.float_tensor, pair.raw, pair.read, *pair.aliases]
            for at, pair in enumerate(pairs)
        }
        nodes = {at: [label] for at, label in enumerate(labels)}
        with_op = {
            at: [f"{name}_{ops[at]}" for name in (pairs[at].float_tensor, labels[at])]
            for at in range(len(pairs))
        }
        self.tensors = _index(tensors, str)
        self.nodes = _index(nodes, str)
        self.with_op = _index(with_op, str)
        self.plain = _index(
            {at: [*tensors[at], *nodes[at], *with_op[at]] for at in tensors}, sanitized
        )

    def look_up(self, tensor: DumpTensor, suffixes: Iterable[str]) -> tuple[int | None, str]:
        """Position and rung; None and why not."""
        several = False
        for by, index, name in self._rungs(tensor, tuple(suffixes)):
            hits = index.get(name, frozenset())
            if len(hits) == 1:
                return next(iter(hits)), by
            several = several or len(hits) > 1
        why = "its name fits several layers" if several else "no layer is named so"
        return None, why

    def _rungs(
        self, tensor: DumpTensor, suffixes: tuple[str, ...]
    ) -> Iterable[tuple[str, Mapping[str, frozenset[int]], str]]:
        if tensor.says is not None:
            yield "map", self.tensors, tensor.says
            yield "map", self.nodes, tensor.says
        name = tensor.name
        last = name.rpartition("/")[2]
        yield "tensor", self.tensors, name
        yield "node", self.nodes, name
        yield "suffix", self.with_op, name
        for pattern in (*suffixes, *_USUAL):
            short = re.sub(pattern, "", name)
            if short not in (name, ""):
                yield "suffix", self.tensors, short
                yield "suffix", self.nodes, short
                yield "suffix", self.with_op, short
                name = short
        for text in (tensor.name, name, last):
            yield "sanitized", self.plain, sanitized(text)


def _index(
    names: Mapping[int, Sequence[str]], key: Callable[[str], str]
) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for at, several in names.items():
        for name in several:
            if name:
                found.setdefault(key(name), set()).add(at)
    return {name: frozenset(places) for name, places in found.items()}
