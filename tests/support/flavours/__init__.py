"""Quantized, converted and rewritten twins of a float network."""

from __future__ import annotations

from dataclasses import dataclass

from onnxruntime import quantization as q

from tests.support.flavours.quantizers import (
    Desk,
    Model,
    Step,
    converted,
    dynamic,
    float16,
    optimized,
    preprocessed,
    static,
)
from tests.support.flavours.surgery import (
    broken,
    channels_last,
    channels_last_input,
    fake_quantized,
    float8,
    float_weights,
    free_batch,
    half_rounded,
    in_domain,
    integer_input,
    misnamed,
    n_bits,
    normalizing,
    other_training,
    rebatched,
    renamed,
    smoothed,
    swapped,
    with_clips,
)


@dataclass(frozen=True)
class Flavour:
    """How a quant graph is made from a float one.

    Attributes:
        steps: applied to the float graph.
        float_steps: applied to the float graph's own side.
        truth_steps: give a graph with the same tensor names whose values tell the truth, where
            the quant graph itself cannot be run or computes something else; None for itself.
        batch: batch size of the quant side.
    """

    name: str
    steps: tuple[Step, ...]
    float_steps: tuple[Step, ...] = ()
    truth_steps: tuple[Step, ...] | None = None

    def make(
        self, model: Model, desk: Desk, ready: Model | None = None
    ) -> tuple[Model, Model, Model]:
        """Float graph, quant graph, and the graph whose values tell the truth.

        Args:
            model: the network.
            desk: to work on.
            ready: the same network as quantizers want it; None where they take it as it is.
        """
        left = _apply(model, self.float_steps, desk)
        model = model if ready is None else ready
        right = _apply(model, self.steps, desk)
        truth = right if self.truth_steps is None else _apply(model, self.truth_steps, desk)
        return left, right, truth


def _apply(model: Model, steps: tuple[Step, ...], desk: Desk) -> Model:
    for step in steps:
        model = step(model, desk)
    return model


_CHANNEL = {"per_channel": True, "weight_type": q.QuantType.QInt8}
_INT8 = {"activation_type": q.QuantType.QInt8, "weight_type": q.QuantType.QInt8}
_WIDE = {"activation_type": q.QuantType.QUInt16, "weight_type": q.QuantType.QInt8}
_FOUR = {"weight_type": q.QuantType.QInt4, "per_channel": True}
_QUARK = {
    "QuantizeLinear": "ExtendedQuantizeLinear",
    "DequantizeLinear": "ExtendedDequantizeLinear",
}
_KEEP = {"extra_options": {"QDQKeepRemovableActivations": True, "DedicatedQDQPair": True}}
_SYMMETRIC = {**_INT8, "extra_options": {"ActivationSymmetric": True}}
_WEIGHTED = ["Conv", "MatMul", "Gemm"]
_INPUTS = {
    **_INT8,
    "op_types_to_quantize": _WEIGHTED,
    "extra_options": {
        "ActivationSymmetric": True,
        "OpTypesToExcludeOutputQuantization": _WEIGHTED,
        "QuantizeBias": False,
    },
}
_EIGHT = (converted(19), static(**_SYMMETRIC))
_OPERATOR = static(q.QuantFormat.QOperator)
_QDQ, _PC = static(), static(**_CHANNEL)

FLAVOURS = (
    Flavour("QDQ per tensor", (_QDQ,)),
    Flavour("QDQ per channel", (_PC,)),
    Flavour("QDQ pre-processed", (preprocessed, _PC)),
    Flavour("QDQ with dedicated pairs", (static(**_KEEP),)),
    Flavour("QDQ 16-bit activations", (static(**_WIDE),)),
    Flavour(
        "QDQ int4 weights",
        (converted(21), static(**_FOUR)),
        (converted(21),),
        (converted(21), _PC),
    ),
    Flavour("QDQ renamed", (_PC, renamed)),
    Flavour("QDQ misnamed, operands swapped", (misnamed, swapped, _PC)),
    Flavour("QDQ of ORT-basic", (optimized("basic"), _PC)),
    Flavour("QDQ, ORT-extended after", (_QDQ, optimized("extended"))),
    Flavour("QCDQ", (static(**_INT8), with_clips)),
    Flavour("QDQ, float weights (ESP-PPQ)", (_PC, float_weights, renamed)),
    Flavour("QDQ of Quark's domain", (_PC, in_domain("com.amd.quark", _QUARK)), (), (_PC,)),
    Flavour("QDQ broken weights, renamed", (_PC, renamed, broken), (), (_PC, renamed)),
    Flavour("QDQ, NHWC input", (channels_last_input, _PC)),
    Flavour("QDQ, NHWC inside", (channels_last, _PC)),
    Flavour("QOperator", (_OPERATOR,)),
    Flavour("QOperator pre-processed, renamed", (preprocessed, _OPERATOR, renamed)),
    Flavour("dynamic", (dynamic,)),
    Flavour("dynamic pre-processed, renamed", (preprocessed, dynamic, renamed)),
    Flavour("MatMulNBits", (n_bits,)),
    # variances beyond float16's range are cut off by the converter, and the values lost with them
    Flavour("float16", (float16(),), (), (float16("BatchNormalization"),)),
    Flavour("float16 pre-processed, renamed", (preprocessed, float16(), renamed)),
    Flavour("bfloat16", (half_rounded,)),
    Flavour("opset 18", (converted(18), renamed)),
    Flavour("ORT-extended", (optimized("extended"),)),
    Flavour("ORT-extended float, QDQ", (_QDQ,), (optimized("extended"),)),
    Flavour("other training run", (other_training, _PC), (), (_PC,)),
    Flavour("other training run, renamed", (other_training, _PC, renamed), (), (_PC, renamed)),
    Flavour("QDQ at inputs only (TensorRT), renamed", (static(**_INPUTS), renamed)),
    Flavour("QONNX", (_PC, fake_quantized), (), (_PC,)),
    Flavour("float8", (converted(19), static(**_SYMMETRIC), float8), (converted(19),), _EIGHT),
    Flavour("QDQ, batch of two", (rebatched(2), _PC, renamed)),
    Flavour("QDQ, free batch", (free_batch, _PC)),
    Flavour("QDQ, integer input", (_PC, integer_input)),
    Flavour("QDQ, normalization inside", (_PC, normalizing)),
    Flavour("QDQ, SmoothQuant", (smoothed, _PC)),
    Flavour("QDQ, SmoothQuant, renamed", (smoothed, _PC, renamed)),
    Flavour("dynamic, ORT-extended after", (dynamic, optimized("extended"))),
    Flavour("QOperator, ORT-extended after", (_OPERATOR, optimized("extended"))),
)
"""Every flavour that can be made here."""
