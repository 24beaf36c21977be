"""What pairing knows about operators: families, operands, and which ones change no values."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.graph.model import Node

# Operators that compute the same thing, under the family's name.
_FAMILIES = {
    "Conv": ("FusedConv", "QLinearConv", "ConvInteger", "NhwcConv", "NhwcFusedConv"),
    "MatMul": (
        "DynamicQuantizeMatMul",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "MatMulBnb4",
        "MatMulInteger",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QGemm",
        "QLinearMatMul",
        "TransposeMatMul",
    ),
    "Add": ("QLinearAdd", "Sum"),
    "Mul": ("QLinearMul",),
    "Clip": ("Relu", "Relu6"),
    "Concat": ("QLinearConcat",),
    "Sigmoid": ("QLinearSigmoid",),
    "LeakyRelu": ("QLinearLeakyRelu",),
    "Softmax": ("QLinearSoftmax",),
    "AveragePool": ("QLinearAveragePool",),
    "MaxPool": ("NhwcMaxPool",),
    "ReduceMean": ("GlobalAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean"),
    "Where": ("QLinearWhere",),
    "Gelu": ("FastGelu", "BiasGelu"),
    "LayerNormalization": ("SkipLayerNormalization",),
    "RMSNormalization": ("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"),
    "LSTM": ("DynamicQuantizeLSTM",),
    "Attention": ("QAttention",),
    "Reshape": ("Flatten", "Squeeze", "Unsqueeze"),
    "Resize": ("Upsample",),
    "ConvTranspose": ("QLinearConvTranspose", "ConvTransposeWithDynamicPads"),
    "Gather": ("GatherBlockQuantized",),
}
_FAMILY_OF = {op: family for family, members in _FAMILIES.items() for op in members}

VIEW_FAMILIES = frozenset({"Reshape", "Transpose"})
"""Families whose output holds the input's values, laid out anew."""

NEUTRAL_ELEMENTS = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
"""Constants that make these operations change nothing."""

COMMUTATIVE = frozenset({"Add", "Mul", "Max", "Min", "Mean", "And", "Or", "Xor", "Equal"})
WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "LSTM", "GRU", "RNN", "Gather"})

KEEPS_SCALE = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "MaxPool",
        "NhwcMaxPool",
        "Pad",
        "Resize",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Upsample",
    }
)
"""Operators that, given integer codes, return codes of the same scale and zero point."""

NEUTRAL = frozenset({"Identity", "Dropout"})

# Parameters that newer operator sets take as inputs and older ones as attributes.
PARAMETER_INPUTS: dict[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "Slice": ("starts", "ends", "axes", "steps"),
    "Split": ("split",),
    "Squeeze": ("axes",),
    "Unsqueeze": ("axes",),
    "Reshape": ("shape",),
    "Pad": ("pads", "value", "axes"),
    "TopK": ("k",),
    "Tile": ("repeats",),
    "Expand": ("shape",),
    "Resize": ("roi", "scales", "sizes"),
    "Upsample": ("scales",),
    "Dropout": ("ratio", "training_mode"),
    **dict.fromkeys(
        (
            "ReduceMean",
            "ReduceSum",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSumExp",
        ),
        ("axes",),
    ),
}


@dataclass(frozen=True)
class Operand:
    """An input of an operator that computes on integer codes.

    Attributes:
        slot: of the codes (or real numbers).
        scale: slot of the scale, -1 where the input holds real numbers.
        zero: slot of the zero point.
    """

    slot: int
    scale: int = -1
    zero: int = -1


@dataclass(frozen=True)
class CodeOp:
    """Where an operator on integer codes keeps its operands and its output's parameters."""

    operands: tuple[Operand, ...]
    out_scale: int = -1
    out_zero: int = -1


_ONE = CodeOp((Operand(0, 1, 2),), 3, 4)
_TWO = CodeOp((Operand(0, 1, 2), Operand(3, 4, 5)), 6, 7)
_CODE_OPS = {
    "QLinearConv": CodeOp((Operand(0, 1, 2), Operand(3, 4, 5), Operand(8)), 6, 7),
    "QLinearMatMul": _TWO,
    "QGemm": CodeOp((Operand(0, 1, 2), Operand(3, 4, 5), Operand(6)), 7, 8),
    "QLinearAdd": _TWO,
    "QLinearMul": _TWO,
    "QLinearSigmoid": _ONE,
    "QLinearLeakyRelu": _ONE,
    "QLinearSoftmax": _ONE,
    "QLinearAveragePool": _ONE,
    "QLinearGlobalAveragePool": _ONE,
    "QLinearReduceMean": _ONE,
    "QLinearWhere": CodeOp((Operand(0), Operand(1, 2, 3), Operand(4, 5, 6)), 7, 8),
    "ConvInteger": CodeOp((Operand(0), Operand(1))),
    "MatMulInteger": CodeOp((Operand(0), Operand(1))),
    "MatMulInteger16": CodeOp((Operand(0), Operand(1))),
    "DynamicQuantizeMatMul": CodeOp((Operand(0), Operand(1, 2, 3), Operand(4))),
    "MatMulIntegerToFloat": CodeOp((Operand(0), Operand(1, 3, 5), Operand(6))),
    "DynamicQuantizeLSTM": CodeOp(
        (Operand(0), Operand(1, 8, 9), Operand(2, 10, 11), Operand(3), Operand(4), Operand(5))
    ),
}
INTEGER_ACCUMULATORS = frozenset({"ConvInteger", "MatMulInteger", "MatMulInteger16"})


def family_of(op: str) -> str:
    """Name shared by the operators that compute the same thing."""
    return _FAMILY_OF.get(op, op)


def code_op(node: Node) -> CodeOp | None:
    """Where the node keeps its quantized operands; None for an operator on real numbers."""
    if node.op == "QLinearConcat":
        slots = range(2, len(node.inputs), 3)
        return CodeOp(tuple(Operand(i, i + 1, i + 2) for i in slots), 0, 1)
    return _CODE_OPS.get(node.op)
