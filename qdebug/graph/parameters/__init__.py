"""What decides the result of an operator, in one spelling for all opsets and dialects.

Two nodes compute the same if their meanings are equal: defaults are written out, ``auto_pad`` is
resolved by the shapes, negative axes are counted from the front, what older operator sets keep in
attributes and newer ones in inputs is one, and operators that are special cases of another
(``Relu`` of ``Clip``, ``Upsample`` of ``Resize``) are told as that. What cannot be read, because it
is computed while running or because a shape is not known, is left open and never differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qdebug.graph.parameters import axes, windows
from qdebug.graph.parameters.site import Difference, Meaning, Site

__all__ = ["Difference", "Meaning", "Site", "differences", "meaning", "same", "told"]

_RELATIVE = 1e-5  # float32 attributes written and read by different programs
_PLAIN = {
    "FusedConv": "Conv",
    "NhwcConv": "Conv",
    "NhwcFusedConv": "Conv",
    "NhwcMaxPool": "MaxPool",
    "FusedGemm": "Gemm",
    "FusedMatMul": "MatMul",
    "TransposeMatMul": "MatMul",
    "QGemm": "Gemm",
    "QLinearReduceMean": "ReduceMean",
    "MatMulInteger": "MatMul",
    "ConvInteger": "Conv",
    **{
        f"QLinear{op}": op
        for op in (
            "Add AveragePool Concat Conv ConvTranspose GlobalAveragePool LeakyRelu MatMul Mul "
            "Sigmoid Softmax Where"
        ).split()
    },
}
"""Dialects of an operator that mean the operator."""
_ONE_OPERATOR_OF_SEVERAL = frozenset(
    {frozenset({"Add", "Sum"}), frozenset({"Identity", "Dropout"}), frozenset({"Conv", "MatMul"})}
)
"""Operators that may well stand for one another: which is not decided by their names."""


def meaning(site: Site) -> Meaning:
    """What a node computes.

    Args:
        site: the node.
    """
    op = _PLAIN.get(site.node.op, site.node.op)
    reader = _READERS.get(op)
    if reader is not None:
        return reader(site, op)
    return Meaning(op, axes.plain_attributes(site))


def differences(left: Site, right: Site) -> list[Difference]:
    """Parameters in which two nodes differ, the operators themselves included.

    Args:
        left: float node.
        right: quant node.
    """
    a, b = meaning(left), meaning(right)
    if a.kind != b.kind:
        if frozenset((a.kind, b.kind)) in _ONE_OPERATOR_OF_SEVERAL:
            return []
        return [Difference("operator", left.node.op, right.node.op)]
    names = dict.fromkeys([*a.parameters, *b.parameters])
    pairs = [(name, a.parameters.get(name), b.parameters.get(name)) for name in names]
    found = [Difference(n, told(x), told(y)) for n, x, y in pairs if not same(x, y)]
    # Asked last: it looks at the values of weights.
    return [] if found and is_written_alike(left, right) else found


def is_written_alike(left: Site, right: Site) -> bool:
    """Whether two nodes are one function: operator, opset, attributes, constant operands.

    What follows from the shapes of their operands (where a slice ends, what a reshape gives) then
    differs only because the operands do.
    """
    a, b = left.node, right.node
    if (a.op, a.domain, len(a.inputs)) != (b.op, b.domain, len(b.inputs)):
        return False
    if left.perm != right.perm or left.graph.opset != right.graph.opset:
        return False
    if a.attributes != b.attributes:
        return False
    for mine, theirs in zip(a.inputs, b.inputs, strict=True):
        x, y = left.constants.value(mine), right.constants.value(theirs)
        if x is None or y is None:
            if x is not y:
                return False
        elif not np.array_equal(x, y):
            return False
    return True


def same(left: Any, right: Any) -> bool:
    """Whether two values of a parameter are equal; an open one equals everything."""
    if left is None or right is None:
        return True
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    if isinstance(left, (list, tuple)) or isinstance(right, (list, tuple)):
        a, b = list(np.atleast_1d(np.asarray(left, object))), list(np.atleast_1d(right))
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    x, y = float(left), float(right)
    near = math.isfinite(x) and math.isfinite(y)
    return x == y or (near and abs(x - y) <= _RELATIVE * max(abs(x), abs(y)))


def told(value: Any) -> str:
    """A parameter's value as text."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(told(item) for item in value) + "]"
    return str(value)


_REDUCTIONS = "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2".split()
_READERS: dict[str, Callable[[Site, str], Meaning]] = {
    **dict.fromkeys("Conv ConvTranspose MaxPool AveragePool LpPool".split(), windows.window),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), windows.global_pool),
    **dict.fromkeys(("Clip", "Relu", "Relu6"), axes.clip),
    **dict.fromkeys(("Resize", "Upsample"), windows.resize),
    **dict.fromkeys(("Gemm", "MatMul"), axes.gemm),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), axes.softmax),
    **dict.fromkeys(
        (*_REDUCTIONS, "ReduceLogSumExp", "ReduceSumSquare", "ReduceLogSum"), axes.reduce
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), axes.one_hot_axis),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), axes.reshape),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), axes.recurrent),
    "Concat": axes.axis(0),
    "GatherElements": axes.axis(0),
    "CumSum": axes.having(exclusive=0, reverse=0),
    "Split": axes.split,
    "Slice": axes.slicing,
    "Transpose": axes.transpose,
    "Gather": axes.gather,
    "Pad": axes.pad,
    "TopK": axes.top_k,
    "LeakyRelu": axes.having(alpha=0.01),
    "Elu": axes.having(alpha=1.0),
    "Celu": axes.having(alpha=1.0),
    "ThresholdedRelu": axes.having(alpha=1.0),
    "Selu": axes.having(alpha=1.67326, gamma=1.0507),
    "HardSigmoid": axes.having(alpha=0.2, beta=0.5),
    "Gelu": axes.having(approximate="none"),
    "BatchNormalization": axes.having(epsilon=1e-5),
    "InstanceNormalization": axes.having(epsilon=1e-5),
    "GroupNormalization": axes.having(epsilon=1e-5, num_groups=None),
    "LpNormalization": axes.having(axis=-1, p=2),
    "LRN": axes.having(alpha=1e-4, beta=0.75, bias=1.0, size=None),
    "DepthToSpace": axes.having(blocksize=None, mode="DCR"),
    "SpaceToDepth": axes.having(blocksize=None),
    "Cast": axes.having(),
    "GridSample": axes.having(align_corners=0, padding_mode="zeros"),
}
