"""Where operators keep their operands and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.graph.model import Node

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


def code_op(node: Node) -> CodeOp | None:
    """Where the node keeps its quantized operands; None for an operator on real numbers."""
    if node.op == "QLinearConcat":
        slots = range(2, len(node.inputs), 3)
        return CodeOp(tuple(Operand(i, i + 1, i + 2) for i in slots), 0, 1)
    return _CODE_OPS.get(node.op)
