"""Operators without a reverse rule, by name, and those that have none because they are steps."""

from __future__ import annotations

_RECURRENT = "the reverse of a recurrent layer is not written here"
_INNER_GRAPH = "it runs a graph of its own"
_QUANTIZES = "it quantizes"

REASONS = {
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "If": _INNER_GRAPH,
    "Loop": _INNER_GRAPH,
    "Scan": _INNER_GRAPH,
    "SequenceMap": _INNER_GRAPH,
    "NonMaxSuppression": "it chooses boxes, which no derivative describes",
    "QuantizeLinear": _QUANTIZES,
    "DequantizeLinear": _QUANTIZES,
    "DynamicQuantizeLinear": _QUANTIZES,
}
"""Why an operator has no rule, where there is more to say than that it has none."""

NO_RULE = "there is no reverse rule for this operator"

STEPS = frozenset(
    "And ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil ConstantOfShape"
    " Equal EyeLike Floor Greater GreaterOrEqual Hardmax IsInf IsNaN Less LessOrEqual NonZero Not"
    " Or RandomNormalLike RandomUniformLike Round Shape Sign Size Xor".split()
)
"""What they give does not change with small changes of what they read: they pass nothing back."""
