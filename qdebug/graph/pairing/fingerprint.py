"""Recognizing a weight again after quantization."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qdebug.graph.model import Array
from qdebug.graph.operators import WEIGHTED_FAMILIES
from qdebug.graph.pairing.logical import Const, Op
from qdebug.graph.pairing.tables import mean_cosine

_ROWS, _COLUMNS = 32, 64  # of a weight that are compared; by judgement, for time
_CROWD = 64  # weights of one shape beyond which fewer rows are compared; by judgement, for time
_MIN_SIMILARITY, _MIN_MARGIN = 0.9, 0.15
"""Mean absolute cosine of two weights' rows from which they belong together, and by how much it
must lead. By judgement; 0.7 or 0.98, and 0.03 or 0.4, move no row of `benchmarks.pairing` for the
sample classifier and detector: a quantized weight is far above, any other far below."""
_NARROW = 4
"""Numbers from which a row has a direction: of 4, unrelated ones have a cosine of 0.4 by chance, of
fewer so much that a clear one says little."""

Sample = npt.NDArray[np.float32]


def weight_of(op: Op) -> tuple[int, Const] | None:
    """Operand slot and constant of the operation's weight; None where it has none."""
    if op.family not in WEIGHTED_FAMILIES:
        return None
    for slot, operand in enumerate(op.inputs):
        if isinstance(operand, Const) and len(operand.shape or ()) >= 2:
            return slot, operand
    return None


def matrix_shape(op: Op, slot: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """``(output channels, fan-in)`` of a weight, whatever its layout."""
    size = int(np.prod(shape))
    rows = shape[matrix_row_axis(op, slot, len(shape))]
    return rows, size // max(rows, 1)


def whole_shape(op: Op, slot: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """``matrix_shape`` with the groups of a Conv spelled out: what one of another group has too."""
    rows, fan_in = matrix_shape(op, slot, shape)
    return rows, fan_in * (groups_of(op) if op.family == "Conv" else 1)


def groups_of(op: Op) -> int:
    """In how many groups of channels a convolution computes."""
    return int(op.params.get("group", 1))


def matrix_row_axis(op: Op, slot: int, rank: int) -> int:
    """Axis of a weight that runs over the output channels."""
    if op.family == "ConvTranspose":
        return 1
    if op.family != "MatMul":
        return 0 if op.family in ("Conv", "Gather") else rank - 2
    if slot == 0:
        return rank - 1 if op.params.get("transA") else rank - 2
    return rank - 2 if op.params.get("transB") else rank - 1


def as_matrix(op: Op, slot: int, value: Array) -> Array:
    """The weight as ``[output channels, fan-in]``."""
    axis = matrix_row_axis(op, slot, value.ndim)
    rows = np.moveaxis(value, axis, 0)
    return rows.reshape(rows.shape[0], -1)


class Fingerprints:
    """Row directions of weights: unchanged by a positive or negative factor per output channel."""

    def __init__(self) -> None:
        self._samples: dict[Op, Sample | None] = {}

    def shape(self, op: Op) -> tuple[int, int] | None:
        """``(output channels, fan-in)`` of the operation's weight."""
        found = weight_of(op)
        if found is None or found[1].shape is None:
            return None
        return matrix_shape(op, found[0], found[1].shape)

    def whole_shape(self, op: Op) -> tuple[int, int] | None:
        """The same with the groups of a Conv spelled out."""
        found = weight_of(op)
        if found is None or found[1].shape is None:
            return None
        return whole_shape(op, found[0], found[1].shape)

    def sample(self, op: Op) -> Sample | None:
        """Unit rows taken at fixed places of the weight matrix; None where there is no weight."""
        if op not in self._samples:
            self._samples[op] = _sample(op)
        return self._samples[op]

    def similarity(self, left: Op, right: Op) -> float | None:
        """Mean absolute cosine of the weights' rows, 0..1; None where they cannot be compared."""
        if self.shape(left) != self.shape(right):
            return None
        a, b = self.sample(left), self.sample(right)
        if a is None or b is None:
            return None
        return float(np.abs(np.einsum("rc,rc->r", a, b)).mean())

    def anchors(self, left: list[Op], right: list[Op]) -> list[tuple[Op, Op]]:
        """Operations whose weights clearly belong together, each at most once."""
        buckets: dict[tuple[str, tuple[int, int]], tuple[list[Op], list[Op]]] = defaultdict(
            lambda: ([], [])
        )
        for side, ops in enumerate((left, right)):
            for op in ops:
                shape = self.shape(op)
                if shape is not None and self.sample(op) is not None:
                    buckets[op.family, shape][side].append(op)
        found = [pair for lefts, rights in buckets.values() for pair in self._best(lefts, rights)]
        return sorted(found, key=lambda pair: pair[0].index)

    def _best(self, lefts: list[Op], rights: list[Op]) -> list[tuple[Op, Op]]:
        if not lefts or not rights:
            return []
        step = 1 if max(len(lefts), len(rights)) <= _CROWD else 4
        a, b = (np.stack([self.sample(op)[::step] for op in ops]) for ops in (lefts, rights))  # type: ignore[index]
        table = mean_cosine(a, b)
        pairs = []
        for i, j in enumerate(table.argmax(axis=1)):
            others = max(_second(table[i], int(j)), _second(table[:, j], i))
            if table[i, j] >= _MIN_SIMILARITY and table[i, j] - others >= _MIN_MARGIN:
                pairs.append((lefts[i], rights[int(j)]))
        return pairs


def _second(row: npt.NDArray[np.float32], best: int) -> float:
    rest = np.delete(row, best)
    return float(rest.max()) if rest.size else 0.0


def _sample(op: Op) -> Sample | None:
    found = weight_of(op)
    value = found[1].read() if found is not None else None
    if found is None or value is None or value.size < 2 * _NARROW:
        return None
    matrix = as_matrix(op, found[0], value)
    if matrix.shape[1] < _NARROW:
        matrix = matrix.reshape(1, -1)
    rows, columns = _places(matrix.shape[0], _ROWS), _places(matrix.shape[1], _COLUMNS)
    picked = matrix[np.ix_(rows, columns)].astype(np.float32)
    length = np.linalg.norm(picked, axis=1, keepdims=True)
    if not np.isfinite(length).all():
        return None
    unit: Sample = np.divide(picked, length, out=np.zeros_like(picked), where=length > 0)
    return unit


@lru_cache(maxsize=1024)
def _places(length: int, most: int) -> npt.NDArray[np.int64]:
    """Evenly spread positions of an axis; networks have few lengths."""
    return np.linspace(0, length - 1, min(length, most)).astype(np.int64)
