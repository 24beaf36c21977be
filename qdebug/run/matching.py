"""Which layer of one run is which layer of another, also where names have changed.

Equal tensors and equal names count where they keep their order and operator: exporters number
their nodes anew, and ``Conv_12`` of one export is not ``Conv_12`` of the next. What is left
between two such anchors is aligned by operator, channels and weight; so is everything where that
pairs more layers that are alike.
"""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from qdebug.run.model import Layer

MatchedBy = Literal["tensor", "name", "structure"]


@dataclass(frozen=True)
class LayerMatch:
    """Positions of one layer in both runs; None where it is in one only."""

    old: int | None
    new: int | None
    by: MatchedBy | None


_Anchors = dict[int, tuple[int, MatchedBy]]
"""Position in the old run: position in the new run, and how it was found."""


def match_layers(old: Sequence[Layer], new: Sequence[Layer]) -> list[LayerMatch]:
    """Match the layers of two runs, in the order of the new one, dropped layers in their place."""
    anchors: _Anchors = {}
    keys: tuple[tuple[MatchedBy, Callable[[Layer], str]], ...] = (
        ("tensor", lambda layer: layer.float_tensor),
        ("name", lambda layer: layer.name),
    )
    for by, key in keys:
        _add_anchors(anchors, old, new, by, key)
    _align_gaps(anchors, old, new)
    if _agreement(anchors, old, new) < min(len(old), len(new)):
        blind: _Anchors = {}
        _align_gaps(blind, old, new)
        if _agreement(blind, old, new) > _agreement(anchors, old, new):
            anchors = blind
    return _in_order(anchors, len(old), len(new))


def _agreement(anchors: _Anchors, old: Sequence[Layer], new: Sequence[Layer]) -> int:
    """How many matched layers are alike apart from their names."""
    pairs = ((old[i], new[j]) for i, (j, _) in anchors.items())
    return sum(_structure(left) == _structure(right) for left, right in pairs)


def _add_anchors(
    anchors: _Anchors,
    old: Sequence[Layer],
    new: Sequence[Layer],
    by: MatchedBy,
    key: Callable[[Layer], str],
) -> None:
    """Add equal keys, then keep the longest part of all anchors that is in order."""
    taken = set(anchors)
    used = {position for position, _ in anchors.values()}
    where = {key(layer): i for i, layer in enumerate(new) if i not in used}
    for i, layer in enumerate(old):
        at = where.get(key(layer))
        if i not in taken and at is not None and new[at].op == layer.op:
            anchors[i] = (at, by)
    ordered = sorted(anchors)
    kept = {ordered[k] for k in _longest_rise([anchors[i][0] for i in ordered])}
    for i in ordered:
        if i not in kept:
            del anchors[i]


def _longest_rise(values: Sequence[int]) -> list[int]:
    """Positions of a longest strictly increasing subsequence."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for position, value in enumerate(values):
        at = bisect.bisect_left(tails, value)
        before.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(value)
            ends.append(position)
        else:
            tails[at], ends[at] = value, position
    path: list[int] = []
    position = ends[-1] if ends else -1
    while position >= 0:
        path.append(position)
        position = before[position]
    return path[::-1]


def _align_gaps(anchors: _Anchors, old: Sequence[Layer], new: Sequence[Layer]) -> None:
    starts = [(-1, -1), *((i, anchors[i][0]) for i in sorted(anchors))]
    ends = [*starts[1:], (len(old), len(new))]
    for (old_start, new_start), (old_end, new_end) in zip(starts, ends, strict=True):
        left = range(old_start + 1, old_end)
        right = range(new_start + 1, new_end)
        if left and right:
            for i, j in _align([old[i] for i in left], [new[j] for j in right]):
                anchors[left[i]] = (right[j], "structure")


def _align(old: Sequence[Layer], new: Sequence[Layer]) -> list[tuple[int, int]]:
    left, right = [_structure(layer) for layer in old], [_structure(layer) for layer in new]
    if left == right:
        return [(i, i) for i in range(len(left))]
    blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return [(a + k, b + k) for a, b, size in blocks for k in range(size)]


def _structure(layer: Layer) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """What a layer is apart from its name and from the size of the pictures."""
    shape = (len(layer.shape), *layer.shape[1:2])
    return layer.op, shape, layer.weight.shape if layer.weight else ()


def _in_order(anchors: _Anchors, old_count: int, new_count: int) -> list[LayerMatch]:
    matches: list[LayerMatch] = []
    position = 0
    for i in range(old_count):
        if i not in anchors:
            matches.append(LayerMatch(i, None, None))
            continue
        at, by = anchors[i]
        matches += [LayerMatch(None, j, None) for j in range(position, at)]
        matches.append(LayerMatch(i, at, by))
        position = at + 1
    return matches + [LayerMatch(None, j, None) for j in range(position, new_count)]
