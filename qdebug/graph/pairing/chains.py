"""Runs of operations that a quantizer or an optimizer may have folded away.

``Conv, BatchNormalization, Clip`` of a float graph is often one ``Conv`` in the quant graph: the
normalization went into the weights, the clip into the quantizer's range. The chains that follow
two matching operations are aligned; what is left over on one side was folded there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from qdebug.graph.operators import (
    AFFINE_FAMILIES,
    FOLDABLE_ACTIVATION_FAMILIES,
    PRODUCT_FAMILIES,
    VIEW_FAMILIES,
)
from qdebug.graph.pairing.logical import Const, Op, Value
from qdebug.graph.pairing.score import const_agrees, overlap, params_agreement, reader_families

_MAX_LENGTH = 8  # operations of a chain; by judgement, for time
_STEP, _SKIP, _VIEW_SKIP, _END = 2.0, -0.1, -0.05, 2.0
_PARAMETERS, _SAME_CONSTANT, _FOLDED, _ABSORBED = 0.5, 0.5, 0.3, 0.5
"""Gains of aligning two chains: for a step that both take, for one that is left out (a view costs
less than an operation), for readers at the end that agree; and what equal parameters, equal
constants and quantizers' ranges add. By judgement: twice or half of any one moves no row of
`benchmarks.pairing` for the sample detector."""
_SLACK = 0.01
"""Part of a range by which its end may miss that of a Clip: one code of 8 bits is 0.004 of it."""


def foldable(op: Op) -> bool:
    """Whether the operation may vanish into the one before it."""
    if op.family in ("Clip", "BatchNormalization"):
        return len(op.values) == 1
    if op.family in AFFINE_FAMILIES:
        return len(op.values) == 1 and len(op.consts) == 1
    return op.family in FOLDABLE_ACTIVATION_FAMILIES and len(op.values) == 1


def passable(op: Op) -> bool:
    """Foldable, or a mere change of layout."""
    return foldable(op) or _relays(op)


def _relays(op: Op) -> bool:
    """A view, or one that is no view only because an activation went into its quantizer."""
    return op.is_view or (op.family in VIEW_FAMILIES and len(op.values) == 1)


def chain_after(value: Value) -> list[Op]:
    """The foldable operations and views that follow a value, as long as it has one reader."""
    chain: list[Op] = []
    while len(value.consumers) == 1 and len(chain) < _MAX_LENGTH:
        op = value.consumers[0][0]
        if not passable(op):
            break
        chain.append(op)
        value = op.result
    return chain


def chain_before(value: Value) -> list[Op]:
    """The operations that lead to a value, nearest first, up to one that cannot be folded."""
    chain: list[Op] = []
    current: Value | None = value
    while current is not None and current.op is not None and len(chain) < _MAX_LENGTH:
        op = current.op
        chain.append(op)
        if not passable(op):
            break
        if not op.is_view and len(op.values[0].consumers) > 1:
            break  # someone else reads what would have vanished
        current = op.values[0].root
    return chain


@dataclass(frozen=True)
class Alignment:
    """How two chains go together.

    Attributes:
        pairs: values that stand for each other, in order; views add a second value to one side.
        steps: operations that match.
        certain: whether the readers at the end, or a matching step, support it.
    """

    pairs: tuple[tuple[Value, Value], ...]
    steps: tuple[tuple[Op, Op], ...]
    certain: bool


def align(left_op: Op, right_op: Op) -> Alignment:
    """Align what follows the results of two matching operations."""
    left, right = left_op.result.root, right_op.result.root
    lefts, rights = chain_after(left), chain_after(right)
    biases = bias_of(left_op), bias_of(right_op)
    if biases[0] is not None and biases[1] is None:
        right, rights = _after_bias(right, rights, biases[0])
    elif biases[1] is not None and biases[0] is None:
        left, lefts = _after_bias(left, lefts, biases[1])
    best = _Aligner(left, right, lefts, rights).best()
    certain = best.score > 0 or all(op.is_view for op in (*lefts, *rights))
    return Alignment(best.pairs, best.steps, certain)


def bias_of(op: Op) -> Const | None:
    """Constant third operand of a convolution or matrix product."""
    if op.family not in PRODUCT_FAMILIES or len(op.inputs) < 3:
        return None
    bias = op.inputs[2]
    return bias if isinstance(bias, Const) else None


def _after_bias(value: Value, chain: list[Op], bias: Const) -> tuple[Value, list[Op]]:
    """What follows the separate addition of a bias that the other side has built in."""
    for index, op in enumerate(chain):
        if op.family == "Add" and op.consts:
            if const_agrees(bias, op.consts[0]) is False and index:
                break
            return op.result.root, chain[index + 1 :]
        if not op.is_view:
            break
    return value, chain


@dataclass(frozen=True)
class _Path:
    score: float
    pairs: tuple[tuple[Value, Value], ...] = ()
    steps: tuple[tuple[Op, Op], ...] = ()


class _Aligner:
    """Dynamic programme over both chains; states are 'this many operations are behind us'."""

    def __init__(self, left: Value, right: Value, lefts: list[Op], rights: list[Op]) -> None:
        self.left_values = [left, *(op.result for op in lefts)]
        self.right_values = [right, *(op.result for op in rights)]
        self.lefts, self.rights = lefts, rights
        self.alike = [op.family for op in lefts] == [op.family for op in rights]
        self.memo: dict[tuple[int, int], _Path] = {}

    def best(self, i: int = 0, j: int = 0) -> _Path:
        """Best way on from state ``(i, j)``."""
        if (i, j) not in self.memo:
            self.memo[i, j] = max(self._options(i, j), key=lambda path: path.score)
        return self.memo[i, j]

    def _options(self, i: int, j: int) -> list[_Path]:
        here = (self.left_values[i], self.right_values[j])
        options = [self._end(here)]
        if i < len(self.lefts) and j < len(self.rights):
            gain = self._step_gain(self.lefts[i], self.rights[j])
            if gain is not None:
                rest = self.best(i + 1, j + 1)
                steps = ((self.lefts[i], self.rights[j]), *rest.steps)
                clipped = clips_already(self.lefts[i], here[1])
                pairs = rest.pairs if clipped else (here, *rest.pairs)
                options.append(_Path(rest.score + gain, pairs, steps))
        if i < len(self.lefts):
            bonus = _folding_bonus(self.lefts[i], here[1]) + self._absorbed(i, self.lefts, 1)
            options.append(self._skip(self.lefts[i], self.best(i + 1, j), here, bonus))
        if j < len(self.rights):
            bonus = self._absorbed(j, self.rights, 0)
            options.append(self._skip(self.rights[j], self.best(i, j + 1), here, bonus))
        return options

    def _absorbed(self, index: int, chain: list[Op], other: int) -> float:
        """A normalization that the other side lacks went into the weights: it never just goes."""
        if index or chain[0].family != "BatchNormalization":
            return 0.0
        ops = (self.lefts, self.rights)[other]
        last = (self.left_values, self.right_values)[other][-1]
        families = [op.family for op in (*ops, *last.consumer_ops())]
        return 0.0 if "BatchNormalization" in families else _ABSORBED

    def _end(self, here: tuple[Value, Value]) -> _Path:
        agreement = overlap(*(Counter(reader_families(value)) for value in here))
        return _Path(_END * agreement, (here,))

    def _step_gain(self, left: Op, right: Op) -> float | None:
        if left.family != right.family:
            return None
        gain = _STEP + _PARAMETERS * params_agreement(left, right)
        agreements = [const_agrees(a, b) for a, b in _const_pairs(left, right)]
        if False in agreements and not self.alike:
            return None
        return gain + (_SAME_CONSTANT if True in agreements else 0.0)

    def _skip(self, op: Op, rest: _Path, here: tuple[Value, Value], bonus: float) -> _Path:
        if _relays(op):
            return _Path(rest.score + _VIEW_SKIP, (here, *rest.pairs), rest.steps)
        return _Path(rest.score + _SKIP + bonus, rest.pairs, rest.steps)


def clips_already(clip: Op, right: Value) -> bool:
    """Whether the quantizer behind a value lets nothing through that the Clip would cut off."""
    if clip.family != "Clip" or right.range is None:
        return False
    low, high = clip.params.get("min"), clip.params.get("max")
    slack = _SLACK * (right.range[1] - right.range[0])
    above = low is None or right.range[0] >= float(low) - slack
    below = high is None or right.range[1] <= float(high) + slack
    return above and below


def _folding_bonus(op: Op, right: Value) -> float:
    """Evidence for a Clip having gone into the quantizer of this very value, or against it."""
    if op.family != "Clip" or right.range is None:
        return 0.0
    return _FOLDED if clips_already(op, right) else -_FOLDED


def _const_pairs(left: Op, right: Op) -> list[tuple[Const, Const]]:
    return list(zip(left.consts, right.consts, strict=False))
