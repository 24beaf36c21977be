"""Pairs of weights and biases."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from qdebug.graph.model import Array
from qdebug.graph.operators import DEQUANTIZE_OPS, SCALING_FAMILIES, WEIGHT_LAYOUT
from qdebug.graph.pairing.chains import chain_after
from qdebug.graph.pairing.fingerprint import (
    as_matrix,
    groups_of,
    matrix_row_axis,
    matrix_shape,
    weight_of,
    whole_shape,
)
from qdebug.graph.pairing.logical import Const, Op
from qdebug.graph.pairing.score import base_name, names_agree
from qdebug.graph.pairing.state import Matches
from qdebug.graph.pairs import FoundBy, Quantizer, WeightPair
from qdebug.graph.qparams import linear_quantizer


def make_weight_pairs(matches: Matches) -> list[WeightPair]:
    """Weights and biases of both graphs, in execution order of the float graph.

    Operations that are matched bring their weights. Where changed weights have cost an operation
    its counterpart, name, shape and place still tell which weight is meant.
    """
    found: list[WeightPair] = []
    for left, right in matches.op_of_left.items():
        found.extend(_weight(matches, left, right))
        found.extend(_bias(matches, left, right))
    for left, right, by in _left_over(matches):
        made = [*_weight(matches, left, right), *_bias(matches, left, right)]
        found.extend(replace(pair, found_by=by) for pair in made)
    order = {"weight": 0, "bias": 1}
    return sorted(found, key=lambda pair: (pair.node, order[pair.role]))


def uncompared_weights(matches: Matches, pairs: Iterable[WeightPair]) -> list[str]:
    """Labels of the float graph's operations whose weight has no counterpart."""
    paired = {pair.node for pair in pairs if pair.role == "weight"}
    ops = (op for op in matches.left.ops if weight_of(op) is not None)
    return [op.node.label for op in ops if op.node.index not in paired]


_Place = tuple[str, tuple[int, int], Op | None, Op | None]
"""Family, shape of the whole weight matrix, the matched weighted operations before and behind."""


def _left_over(matches: Matches) -> Iterator[tuple[Op, Op, FoundBy]]:
    """Weighted operations without a counterpart, paired by name, then by place."""
    lefts = _weighted(matches.left.ops, matches.op_of_left)
    rights = _weighted(matches.right.ops, matches.op_of_right)
    for left in list(lefts):
        named = [op for op in rights if _kind(op) == _kind(left) and _share_a_name(left, op)]
        if len(named) == 1:
            lefts.remove(left)
            rights.remove(named[0])
            yield left, named[0], "name"
    mine = _places(matches.left.ops, lefts, {op: op for op in matches.op_of_left})
    theirs = _places(matches.right.ops, rights, matches.op_of_right)
    for place, found in mine.items():
        others = theirs.get(place, [])
        if len(found) == len(others) == 1:
            yield found[0], others[0], "place"


def _weighted(ops: Iterable[Op], matched: Mapping[Op, Op]) -> list[Op]:
    return [op for op in ops if op not in matched and _kind(op) is not None]


def _kind(op: Op) -> tuple[str, tuple[int, int]] | None:
    found = weight_of(op)
    if found is None or found[1].shape is None:
        return None
    return op.family, whole_shape(op, found[0], found[1].shape)


def _share_a_name(left: Op, right: Op) -> bool:
    """Whether node, result or stored weight carry the same name."""
    mine, theirs = weight_of(left), weight_of(right)
    if mine is None or theirs is None:
        return False
    stored_alike = base_name(stored(theirs[1])[0]) == stored(mine[1])[0]
    return stored_alike or names_agree(left, right)


def _places(
    ops: Iterable[Op], wanted: Sequence[Op], matched: Mapping[Op, Op]
) -> dict[_Place, list[Op]]:
    """The wanted operations by their neighbours, which ``matched`` gives as the float graph's."""
    found: dict[_Place, list[Op]] = {}
    before: Op | None = None
    waiting: list[Op] = []

    def close(behind: Op | None) -> None:
        for op in waiting:
            family, shape = _kind(op) or ("", (0, 0))
            found.setdefault((family, shape, before, behind), []).append(op)
        waiting.clear()

    for op in ops:
        if op in wanted:
            waiting.append(op)
        elif op in matched and weight_of(op) is not None:
            close(matched[op])
            before = matched[op]
    close(None)
    return found


def _weight(matches: Matches, left: Op, right: Op) -> Iterator[WeightPair]:
    mine, theirs = weight_of(left), weight_of(right)
    if mine is None or theirs is None or mine[1].shape is None or theirs[1].shape is None:
        return
    times = _groups_in_one(left, mine, right, theirs)
    if times is None:
        return
    codes, quantizer = stored(theirs[1])
    yield WeightPair(
        float_tensor=stored(mine[1])[0],
        quant_tensor=codes,
        node=left.node.index,
        role="weight",
        read_float=partial(_read_whole, mine[1], groups_of(left), times),
        read_quant=partial(_read_like, left, mine, right, theirs, times),
        quantizer=quantizer,
        channel_axis=matrix_row_axis(left, mine[0], len(mine[1].shape)),
        folded=_folded(matches, left, right),
    )


def _read(const: Const) -> Array:
    value = const.read()
    if value is None:
        raise ValueError(f"{const.tensor} cannot be evaluated")
    return value.astype(np.float32, copy=False)


def _groups_in_one(
    left: Op, mine: tuple[int, Const], right: Op, theirs: tuple[int, Const]
) -> int | None:
    """How many groups of the float Conv one of the quant graph's holds, zeros between them.

    1 where both weights have one shape, also of other operations; None where they are no pair.
    """
    shapes = mine[1].shape or (), theirs[1].shape or ()
    if matrix_shape(left, mine[0], shapes[0]) == matrix_shape(right, theirs[0], shapes[1]):
        return 1
    if whole_shape(left, mine[0], shapes[0]) != whole_shape(right, theirs[0], shapes[1]):
        return None
    times, rest = divmod(groups_of(left), groups_of(right))
    return None if rest else times


def _read_whole(const: Const, group: int, times: int) -> Array:
    return spelled_out(_read(const), group, times)


def spelled_out(weight: Array, group: int, times: int) -> Array:
    """A Conv's weight as that of fewer groups.

    Args:
        weight: ``[rows, channels of a group, ...]``.
        group: number of groups.
        times: how many of them become one.

    Returns:
        ``[rows, times x channels of a group, ...]``, zero where a row's own group has no channels.
    """
    if times == 1:
        return weight
    rows = np.arange(len(weight))
    whole = np.zeros((len(weight), times, *weight.shape[1:]), weight.dtype)
    whole[rows, rows // (len(weight) // group) % times] = weight
    return whole.reshape(len(weight), times * weight.shape[1], *weight.shape[2:])


def _read_like(
    left: Op, mine: tuple[int, Const], right: Op, theirs: tuple[int, Const], times: int
) -> Array:
    """The quant weight in the float weight's layout, of as many groups as it has."""
    matrix = as_matrix(right, theirs[0], _read(theirs[1]))
    shape = mine[1].shape or ()
    shape = (*shape[:1], shape[1] * times, *shape[2:]) if times > 1 else shape
    axis = matrix_row_axis(left, mine[0], len(shape))
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return np.ascontiguousarray(np.moveaxis(matrix.reshape(moved), 0, axis))


def stored(const: Const) -> tuple[str, Quantizer | None]:
    """The constant's tensor as stored, and the quantizer between it and what is read."""
    if const.quantizer is not None:
        return const.tensor, const.quantizer
    graph, tensor = const.constants.graph, const.tensor
    while tensor in graph.producer:
        node = graph.producer[tensor]
        if node.op in DEQUANTIZE_OPS:
            return node.inputs[0], linear_quantizer(const.constants, node)
        if node.op not in WEIGHT_LAYOUT:
            break
        tensor = node.inputs[0]
    return tensor, None


def _folded(matches: Matches, left: Op, right: Op) -> Array | None:
    """Factor per output channel from normalizations and products that one side folded away."""
    factor: Array | None = None
    for op in chain_after(left.result.root):
        if op in matches.op_of_left or not _is_per_channel(op, left):
            break
        own = _scale_of(op)
        if own is not None:
            factor = own if factor is None else factor * own
    for op in chain_after(right.result.root):
        if op in matches.op_of_right or not _is_per_channel(op, right):
            break
        own = _scale_of(op)
        if own is not None:
            undone = np.divide(1, own, out=np.ones_like(own), where=own != 0)
            factor = undone if factor is None else factor * undone
    return factor


def _is_per_channel(op: Op, weighted: Op, families: tuple[str, ...] = SCALING_FAMILIES) -> bool:
    """Whether it does one and the same to all of an output channel of the weighted operation."""
    found = weight_of(weighted)
    if op.family not in families or not op.consts or found is None or found[1].shape is None:
        return False
    shape = op.consts[0].shape
    rows, _ = matrix_shape(weighted, found[0], found[1].shape)
    return shape is not None and int(np.prod(shape)) in (1, rows)


def _scale_of(op: Op) -> Array | None:
    if op.family == "Mul":
        value = op.consts[0].read()
        return None if value is None else value.reshape(-1).astype(np.float32)
    terms = _batch_norm(op)
    return None if terms is None else terms[0]


def _batch_norm(op: Op) -> tuple[Array, Array] | None:
    """``(factor, offset)`` per channel of a BatchNormalization in inference mode."""
    parts = [const.read() for const in op.consts]
    if len(parts) < 4 or any(part is None for part in parts):
        return None
    gamma, beta, mean, variance = (np.asarray(part, np.float64) for part in parts[:4])
    factor = gamma / np.sqrt(variance + float(op.params.get("epsilon", 1e-5)))
    return factor.astype(np.float32), (beta - mean * factor).astype(np.float32)


@dataclass(frozen=True)
class _Offset:
    """What an operation adds per output channel.

    Attributes:
        const: where it is stored, or most of it.
        steps: operations whose products and sums are part of it, in order.
        own: bias operand of the operation itself.
    """

    const: Const
    own: Const | None
    steps: tuple[Op, ...]

    def read(self) -> Array:
        total: Array = np.zeros(1, np.float32) if self.own is None else _read(self.own).reshape(-1)
        for op in self.steps:
            if op.family == "BatchNormalization":
                factor, offset = _batch_norm(op) or (np.float32(1), np.float32(0))
                total = total * factor + offset
            else:
                term = _read(op.consts[0]).reshape(-1)
                total = total * term if op.family == "Mul" else total + term
        return total.astype(np.float32)


def _bias(matches: Matches, left: Op, right: Op) -> Iterator[WeightPair]:
    if weight_of(left) is None or weight_of(right) is None:
        return
    mine = _offset(left, matches.op_of_left)
    theirs = _offset(right, matches.op_of_right)
    if mine is None or theirs is None:
        return
    tensor, quantizer = stored(theirs.const)
    yield WeightPair(
        float_tensor=stored(mine.const)[0],
        quant_tensor=tensor,
        node=left.node.index,
        role="bias",
        read_float=mine.read,
        read_quant=theirs.read,
        quantizer=quantizer,
        channel_axis=0,
    )


def _offset(op: Op, matched: Container[Op]) -> _Offset | None:
    own = op.inputs[2] if len(op.inputs) > 2 else None
    own = own if isinstance(own, Const) else None
    steps: list[Op] = []
    for after in chain_after(op.result.root):
        if after in matched:
            if own is None and not steps and _is_per_channel(after, op, ("Add",)):
                steps.append(after)
            break
        if not _is_per_channel(after, op, (*SCALING_FAMILIES, "Add")):
            break
        steps.append(after)
    if all(step.family == "Mul" for step in steps):
        return None if own is None else _Offset(own, own, tuple(steps))
    adding = next(step for step in steps if step.family != "Mul")
    const = adding.consts[1 if adding.family == "BatchNormalization" else 0]
    return _Offset(own or const, own, tuple(steps))
