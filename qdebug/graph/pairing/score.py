"""How well two operations agree: the evidence that decides between candidates."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdebug.graph.pairing.fingerprint import Fingerprints
from qdebug.graph.pairing.logical import Const, Op, Value
from qdebug.graph.pairing.tables import (
    Mask,
    Table,
    constants_agree,
    equal_shares,
    likeness,
    overlaps,
)

_WEIGHTS, _CONSTANTS, _PARAMS, _NAME, _CONTEXT = 4.0, 1.5, 2.0, 1.0, 1.0
"""What each kind of evidence is worth. By judgement: weights tell most, a name least, since tools
hand names on. At 5 for a name the row "QDQ misnamed, operands swapped" of `benchmarks.pairing`
falls below 100 % (sample detector); twice or half of any other moves no row of that network."""
_CHANCE = 0.5
"""Likeness of weights that says nothing. The mean absolute cosine of unrelated rows of n numbers is
near sqrt(2 / (pi n)): 0.27 for the nine of a depthwise kernel, 0.4 for the fewest compared (4)."""
_PARAMETER_TOLERANCE = 0.02  # relative; a bound that was rounded to codes. By judgement
_CONST_TOLERANCE = 0.2
"""Relative L2 distance of a constant and its quantized copy. Codes of 8 bits are within 0.01, those
of 4 bits within 0.1 for a constant that fills its range; twice that, by judgement."""
_READ = 65536  # elements up to which a constant is compared; by judgement, for time

# Parameters that a change of batch size, a simplification or another operator set alters.
_LOOSE_PARAMS = frozenset(
    {
        "shape",
        "sizes",
        "scales",
        "roi",
        "coordinate_transformation_mode",
        "nearest_mode",
        "cubic_coeff_a",
        "opset",
        "transA",
        "transB",
        "axes",
        "count_include_pad",
        "kernel_shape",
        "epsilon",
        "momentum",
        "training_mode",
    }
)


_Shape = tuple[int, int] | None
_Kind = tuple[int, int, _Shape, _Shape]
"""Operands, outputs where they tell, and shape of the weight of an operation: as it is, and with
the groups of a Conv spelled out."""


class Scorer:
    """Scores candidates; needs nothing but the two operations and what surrounds them."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self.fingerprints = fingerprints

    def plausible(self, left: Op, right: Op) -> bool:
        """Whether the two can be the same operation at all."""
        return left.family == right.family and _agree(self._kind(left), self._kind(right))

    def plausible_table(self, lefts: Sequence[Op], rights: Sequence[Op]) -> Mask:
        """The same of each with each, for operations of one family."""
        ours, theirs = ([self._kind(op) for op in side] for side in (lefts, rights))
        kinds = list(dict.fromkeys(ours)), list(dict.fromkeys(theirs))
        agree = np.array([[_agree(a, b) for b in kinds[1]] for a in kinds[0]], np.bool_)
        rows = [kinds[0].index(kind) for kind in ours]
        return agree[np.ix_(rows, [kinds[1].index(kind) for kind in theirs])]

    def _kind(self, op: Op) -> _Kind:
        outputs = len(op.outputs) if op.family == "Split" else 0
        shapes = self.fingerprints.shape(op), self.fingerprints.whole_shape(op)
        return len(op.values), outputs, *shapes

    def score(self, left: Op, right: Op) -> float:
        """Agreement of two plausible operations; differences of 0.25 are worth believing."""
        return float(self.table([left], [right])[0, 0])

    def table(self, lefts: Sequence[Op], rights: Sequence[Op]) -> Table:
        """The scores of each plausible operation with each."""
        total = _PARAMS * equal_shares(_params(lefts), _params(rights), _PARAMETER_TOLERANCE)
        total += _CONTEXT * overlaps(_contexts(lefts), _contexts(rights))
        ours, theirs = ([self.fingerprints.sample(op) for op in side] for side in (lefts, rights))
        similarity = likeness(ours, theirs)
        known = np.maximum(0.0, similarity - _CHANCE) / (1 - _CHANCE)
        total += _WEIGHTS * np.nan_to_num(known)
        total += _CONSTANTS * _constants(lefts, rights)
        for place in _same_names(lefts, rights):
            total[place] += _NAME
        return total

    def most_without_name(self, left: Op, right: Op) -> float:
        """The most that either of two operations can score with one of another name."""
        weighted = self.fingerprints.similarity(left, right) is not None
        constants = _CONSTANTS if left.consts or right.consts else 0.0
        return _PARAMS + _CONTEXT + constants + (_WEIGHTS if weighted else 0.0)


def _agree(left: _Kind, right: _Kind) -> bool:
    known = None not in (left[2], right[2])
    alike = left[2] == right[2] or left[3] == right[3]
    return left[:2] == right[:2] and (alike or not known)


def names_agree(left: Op, right: Op) -> bool:
    """Whether node or output carry the same name."""
    return not left_keys(left).isdisjoint(right_keys(right))


def base_name(tensor: str) -> str:
    """A tensor's name without what quantizers append to it."""
    for suffix in (
        "_quantized",
        "_output_quantized",
        "_QuantizeLinear_Input",
        "_QuantizeLinear_Output",
        "_DequantizeLinear_Output",
    ):
        if tensor.endswith(suffix):
            return tensor[: -len(suffix)]
    return tensor


def _same_names(lefts: Sequence[Op], rights: Sequence[Op]) -> set[tuple[int, int]]:
    """Places of those for which ``names_agree``."""
    ours: dict[tuple[str, str], list[int]] = {}
    for at, op in enumerate(lefts):
        for key in left_keys(op):
            ours.setdefault(key, []).append(at)
    return {
        (i, j) for j, op in enumerate(rights) for key in right_keys(op) for i in ours.get(key, ())
    }


def left_keys(op: Op) -> set[tuple[str, str]]:
    """What an operation of the float graph is known by."""
    keys = {("tensor", name) for name in op.node.outputs if name}
    return keys | ({("node", op.node.name)} if op.node.name else set())


def right_keys(op: Op) -> set[tuple[str, str]]:
    """What the float twin of an operation of the quant graph is known by."""
    keys = {("tensor", base_name(name)) for name in op.node.outputs if name}
    return keys | ({("node", op.node.name)} if op.node.name else set())


def _params(ops: Sequence[Op]) -> list[dict[str, Any]]:
    return [{k: v for k, v in op.params.items() if k not in _LOOSE_PARAMS} for op in ops]


def params_agreement(left: Op, right: Op) -> float:
    """Share of the parameters that are equal, 0..1; 1 where there are none."""
    return float(equal_shares(_params([left]), _params([right]), _PARAMETER_TOLERANCE)[0, 0])


def _contexts(ops: Sequence[Op]) -> list[Counter[str]]:
    """What reads the results."""
    return [Counter(reader_families(op.result)) for op in ops]


def overlap(left: Counter[str], right: Counter[str]) -> float:
    """Jaccard index of two multisets; 1 where both are empty."""
    return float(overlaps([left], [right])[0, 0])


def reader_families(value: Value) -> list[str]:
    """Families of the operations that read a value; graph outputs count as one."""
    families = [_reader_family(op, slot) for op, slot in value.consumers]
    return [*families, *(["output"] if value.outputs else [])]


def _reader_family(op: Op, slot: int) -> str:
    if op.family == "Concat":
        return f"Concat:{slot}"
    factor = op.params.get("alpha") if op.family == "MatMul" else None
    scaled = "" if factor is None else f"*{float(factor):.2g}"
    return f"{op.family}{scaled}/{len(op.values)}"


def _constants(lefts: Sequence[Op], rights: Sequence[Op]) -> Table:
    """1 where all small constant operands agree, -1 where they contradict, 0 where unknown."""
    total = np.zeros((len(lefts), len(rights)))
    known = np.zeros_like(total)
    most = min(max((len(op.consts) for op in side), default=0) for side in (lefts, rights))
    for slot in range(most):
        ours, theirs = ([_constant(op, slot) for op in side] for side in (lefts, rights))
        agree = constants_agree(ours, theirs, _READ, _CONST_TOLERANCE)
        known += ~np.isnan(agree)
        total += np.nan_to_num(agree)
    return np.divide(total, known, out=np.zeros_like(total), where=known > 0)


def _constant(op: Op, slot: int) -> Const | None:
    return op.consts[slot] if slot < len(op.consts) else None


def const_agrees(left: Const, right: Const) -> bool | None:
    """Whether two constants are equal up to quantization; None where that cannot be told."""
    agree = constants_agree([left], [right], _READ, _CONST_TOLERANCE)[0, 0]
    return None if np.isnan(agree) else bool(agree > 0)


def exchanged(lefts: Sequence[Value], rights: Sequence[Value]) -> list[tuple[Value, Value]] | None:
    """Operands of two operations, paired by name, where a converter has put them in another order.

    Names alone do not tell. Where the order as it stands pairs values that are made differently
    (another family, other parameters, another output of one operation), and names pair all of them
    with values made alike, they do.

    Returns:
        None where the order as it stands is as good; nothing where names contradict it and what
        makes the values does not decide: then it is left to what leads there.
    """
    by_name = {left.raw: left for left in lefts}
    pairs = [(by_name.get(base_name(right.raw)), right) for right in rights]
    known = [(left, right) for left, right in pairs if left is not None]
    distinct = len({id(left) for left, _ in known}) == len(lefts)
    if not distinct or not all(_made_alike(a, b) for a, b in known):
        return None
    if all(map(_made_alike, lefts, rights)):
        return None if all(map(operator.is_, lefts, (a for a, _ in known))) else []
    return known


def _made_alike(left: Value, right: Value) -> bool:
    a, b = left.root.op, right.root.op
    if a is None or b is None:
        return a is b
    places = [
        op.outputs.index(v.root) if v.root in op.outputs else 0 for op, v in ((a, left), (b, right))
    ]
    return a.family == b.family and places[0] == places[1] and params_agreement(a, b) == 1.0
