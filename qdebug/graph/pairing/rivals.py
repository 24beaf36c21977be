"""Choosing among many candidates without holding every one against every other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from qdebug.graph.pairing.logical import Op
from qdebug.graph.pairing.score import base_name

_Scored = list[tuple[float, Op]]


class Rivals:
    """The best other candidate of either operation of a pair.

    Candidates only ever fall away, so each is looked at once.

    Args:
        table: scores of all candidate pairs.
        free: whether both operations of a pair are still unmatched.
    """

    def __init__(
        self, table: Mapping[tuple[Op, Op], float], free: Callable[[Op, Op], bool]
    ) -> None:
        self._free = free
        self._rows: dict[Op, _Scored] = {}
        self._columns: dict[Op, _Scored] = {}
        for (a, b), score in sorted(table.items(), key=lambda item: item[1]):  # best ones last
            self._rows.setdefault(a, []).append((score, b))
            self._columns.setdefault(b, []).append((score, a))

    def best(self, left: Op, right: Op) -> float:
        """The highest score of another free pair with one of the two; minus infinity for none."""
        return max(
            self._best(self._rows[left], right, lambda other: self._free(left, other)),
            self._best(self._columns[right], left, lambda other: self._free(other, right)),
        )

    @staticmethod
    def _best(scored: _Scored, partner: Op, free: Callable[[Op], bool]) -> float:
        while scored and not free(scored[-1][1]):
            scored.pop()
        if not scored or scored[-1][1] is not partner:
            return scored[-1][0] if scored else -math.inf
        at = len(scored) - 2
        while at >= 0 and not free(scored[at][1]):
            del scored[at]
            at -= 1
        return scored[at][0] if at >= 0 else -math.inf


def namesakes(lefts: Iterable[Op], rights: Iterable[Op]) -> Iterator[tuple[Op, Op]]:
    """Pairs whose names agree (``score.names_agree``), and each with nobody else."""
    ours: dict[tuple[str, str], list[Op]] = {}
    for op in lefts:
        for key in _left_keys(op):
            ours.setdefault(key, []).append(op)
    chosen: dict[Op, list[Op]] = {}
    partners: dict[Op, list[Op]] = {}
    for op in rights:
        found = dict.fromkeys(other for key in _right_keys(op) for other in ours.get(key, ()))
        partners[op] = list(found)
        for other in found:
            chosen.setdefault(other, []).append(op)
    for right, found_ones in partners.items():
        if len(found_ones) == 1 and len(chosen[found_ones[0]]) == 1:
            yield found_ones[0], right


def _left_keys(op: Op) -> set[tuple[str, str]]:
    keys = {("tensor", name) for name in op.node.outputs if name}
    return keys | ({("node", op.node.name)} if op.node.name else set())


def _right_keys(op: Op) -> set[tuple[str, str]]:
    keys = {("tensor", base_name(name)) for name in op.node.outputs if name}
    return keys | ({("node", op.node.name)} if op.node.name else set())
