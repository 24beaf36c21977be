"""Choosing among many candidates without holding every one against every other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from qdebug.graph.pairing.logical import Op
from qdebug.graph.pairing.score import left_keys, right_keys
from qdebug.graph.pairing.tables import Table


class Rivals:
    """Candidates that fall away as they, or their partners, are chosen.

    Args:
        scores: of each with each, minus infinity where two cannot be partners; it is written to.
    """

    def __init__(self, scores: Table) -> None:
        self._scores = scores

    def leaders(self, lead: float) -> list[tuple[int, int]]:
        """Places of pairs that lead every other pair with one of the two, best ones first."""
        scores = self._scores
        if not scores.size:
            return []
        columns, best = scores.argmax(axis=1), scores.max(axis=1)
        others = scores.copy()
        others[np.arange(len(columns)), columns] = -np.inf
        in_row, in_column = others.max(axis=1), _second(scores)[columns]
        in_column[best < scores.max(axis=0)[columns]] = np.inf
        rows = np.flatnonzero(np.isfinite(best))
        rows = rows[best[rows] - np.maximum(in_row, in_column)[rows] >= lead]
        return [(int(row), int(columns[row])) for row in rows[np.argsort(-best[rows])]]

    def take(self, row: int, column: int) -> None:
        """Let a pair, chosen or no longer free, be nobody's rival."""
        self._scores[row] = -np.inf
        self._scores[:, column] = -np.inf


def _second(scores: Table) -> npt.NDArray[np.float64]:
    """The second highest of each column."""
    if len(scores) < 2:
        return np.full(scores.shape[1], -np.inf)
    return np.asarray(np.partition(scores, -2, axis=0)[-2])


def namesakes(lefts: Iterable[Op], rights: Iterable[Op]) -> Iterator[tuple[Op, Op]]:
    """Pairs whose names agree (``score.names_agree``), and each with nobody else."""
    ours: dict[tuple[str, str], list[Op]] = {}
    for op in lefts:
        for key in left_keys(op):
            ours.setdefault(key, []).append(op)
    chosen: dict[Op, list[Op]] = {}
    partners: dict[Op, list[Op]] = {}
    for op in rights:
        found = dict.fromkeys(other for key in right_keys(op) for other in ours.get(key, ()))
        partners[op] = list(found)
        for other in found:
            chosen.setdefault(other, []).append(op)
    for right, found_ones in partners.items():
        if len(found_ones) == 1 and len(chosen[found_ones[0]]) == 1:
            yield found_ones[0], right
