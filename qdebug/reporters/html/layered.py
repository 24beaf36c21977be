"""A small layout of a graph in layers: what feeds something stands to its left.

Columns that do not fit beside each other go on in a band below, as a text does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROWS = 8
"""Rows of a column, so that a figure stays low; what is more goes to the next column."""


@dataclass(frozen=True)
class Place:
    """Where a node stands: in which band, and there in which column and row."""

    band: int
    column: int
    row: int


def layout(inputs: Sequence[Sequence[int]], columns: int) -> list[Place]:
    """Places of nodes, in the order of the nodes, which is one of execution.

    A node stands right of the last of its inputs; without inputs here it stands where the node
    before it does. It takes its first input's row where that is free.

    Args:
        inputs: for every node the positions of those that feed it; later ones are ignored.
        columns: that fit into a band.
    """
    placed: list[tuple[int, int]] = []
    taken: dict[int, set[int]] = {}
    for node, given in enumerate(inputs):
        before = [placed[i] for i in given if 0 <= i < node]
        column = max((c for c, _ in before), default=placed[-1][0] - 1 if placed else -1) + 1
        column = max(column, 0)
        while len(taken.setdefault(column, set())) == ROWS:
            column += 1
        free = [row for row in range(ROWS) if row not in taken[column]]
        wanted = before[0][1] if before else 0
        row = min(free, key=lambda place: (abs(place - wanted), place))
        taken[column].add(row)
        placed.append((column, row))
    return [Place(column // columns, column % columns, row) for column, row in placed]


def band_tops(places: Sequence[Place]) -> list[int]:
    """The row at which each band begins, and, last, the number of rows of all."""
    tops = [0]
    for band in range(max((place.band for place in places), default=-1) + 1):
        tall = max((p.row for p in places if p.band == band), default=0) + 1
        tops.append(tops[-1] + tall)
    return tops
