"""How well two operations agree: the evidence that decides between candidates."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdebug.graph.pairing.fingerprint import Fingerprints
from qdebug.graph.pairing.logical import Const, Op, Value

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


class Scorer:
    """Scores candidates; needs nothing but the two operations and what surrounds them."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self.fingerprints = fingerprints

    def plausible(self, left: Op, right: Op) -> bool:
        """Whether the two can be the same operation at all."""
        if left.family != right.family or len(left.values) != len(right.values):
            return False
        shapes = self.fingerprints.shape(left), self.fingerprints.shape(right)
        if None not in shapes and shapes[0] != shapes[1]:
            return False
        return self._outputs_agree(left, right)

    def _outputs_agree(self, left: Op, right: Op) -> bool:
        if left.family != "Split":
            return True
        return len(left.outputs) == len(right.outputs)

    def score(self, left: Op, right: Op) -> float:
        """Agreement of two plausible operations; differences of 0.25 are worth believing."""
        total = _PARAMS * params_agreement(left, right) + _CONTEXT * context_agreement(left, right)
        similarity = self.fingerprints.similarity(left, right)
        if similarity is not None:
            total += _WEIGHTS * max(0.0, similarity - _CHANCE) / (1 - _CHANCE)
        total += _CONSTANTS * constants_agreement(left, right)
        return total + _NAME * names_agree(left, right)

    def most_without_name(self, left: Op, right: Op) -> float:
        """The most that either of two operations can score with one of another name."""
        weighted = self.fingerprints.similarity(left, right) is not None
        constants = _CONSTANTS if left.consts or right.consts else 0.0
        return _PARAMS + _CONTEXT + constants + (_WEIGHTS if weighted else 0.0)


def names_agree(left: Op, right: Op) -> bool:
    """Whether node or output carry the same name."""
    if left.node.name and left.node.name == right.node.name:
        return True
    names = {name for name in left.node.outputs if name}
    return any(base_name(name) in names for name in right.node.outputs if name)


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


def params_agreement(left: Op, right: Op) -> float:
    """Share of the parameters that are equal, 0..1; 1 where there are none."""
    keys = (set(left.params) | set(right.params)) - _LOOSE_PARAMS
    if not keys:
        return 1.0
    return sum(_same(left.params.get(k), right.params.get(k)) for k in keys) / len(keys)


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    try:
        # flat: one axis is a list of one as an attribute, and a number as an input
        a, b = np.ravel(np.asarray(left, np.float64)), np.ravel(np.asarray(right, np.float64))
    except (TypeError, ValueError):
        return bool(left == right)
    # "to the end" is spelled as any large number
    a, b = np.clip(a, -(2.0**31), 2.0**31 - 1), np.clip(b, -(2.0**31), 2.0**31 - 1)
    return a.shape == b.shape and bool(
        np.allclose(a, b, rtol=_PARAMETER_TOLERANCE, atol=1e-6, equal_nan=True)
    )


def context_agreement(left: Op, right: Op) -> float:
    """How alike the operations are that read the results, 0..1."""
    a, b = (Counter(reader_families(op.result)) for op in (left, right))
    return overlap(a, b)


def overlap(left: Counter[str], right: Counter[str]) -> float:
    """Jaccard index of two multisets; 1 where both are empty."""
    union = sum((left | right).values())
    return sum((left & right).values()) / union if union else 1.0


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


def constants_agreement(left: Op, right: Op) -> float:
    """1 where all small constant operands agree, -1 where they contradict, 0 where unknown."""
    pairs = list(zip(left.consts, right.consts, strict=False))
    known = [agree for agree in (const_agrees(a, b) for a, b in pairs) if agree is not None]
    if not known:
        return 0.0
    return float(np.mean([1.0 if agree else -1.0 for agree in known]))


def const_agrees(left: Const, right: Const) -> bool | None:
    """Whether two constants are equal up to quantization; None where that cannot be told."""
    shapes = left.shape, right.shape
    if None in shapes or int(np.prod(shapes[0] or ())) > _READ:
        return None
    a, b = left.read(), right.read()
    if a is None or b is None:
        return None
    if a.dtype.kind in "OUS" or b.dtype.kind in "OUS":
        return bool(np.array_equal(a, b))
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    if a.size != b.size:
        return a.size == 1 and bool(np.allclose(b, a, rtol=_CONST_TOLERANCE)) if b.size else False
    scale = float(np.linalg.norm(a))
    return bool(np.linalg.norm(a - b) <= _CONST_TOLERANCE * scale + 1e-12)


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
