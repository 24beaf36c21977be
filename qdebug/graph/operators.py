"""What is known of operators, by property. Every other module asks here.

Sets hold operator names as they stand in a graph, of ONNX and of ONNX Runtime's and the vendors'
domains; those whose name ends in ``FAMILIES`` hold what `family_of` makes of them. Two sets that
look alike differ on purpose, and each says in what. Nothing heavy is imported: vendors' folders
and the terminal browser read this.
"""

from __future__ import annotations

from collections.abc import Mapping


def _ops(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


# Quantizing.

QUANTIZE_OPS = _ops("QuantizeLinear ExtendedQuantizeLinear VitisQuantizeLinear AscendQuant")
"""From real numbers to codes."""
DEQUANTIZE_OPS = _ops("DequantizeLinear ExtendedDequantizeLinear VitisDequantizeLinear")
"""From codes to real numbers; ``AscendDequant`` is none, it reads an integer accumulator."""
FAKE_QUANTIZE_OPS = _ops("Quant BipolarQuant FakeQuantize BFPQuantizeDequantize QcQuantizeOp")
"""Both at once: from real numbers to real numbers."""
INTEGER_ACCUMULATORS = _ops("ConvInteger MatMulInteger MatMulInteger16")
"""Products of codes whose int32 sums other nodes turn into real numbers."""
DYNAMIC_OPS = _ops("DynamicQuantizeLinear DynamicQuantizeMatMul DynamicQuantizeLSTM")
"""Those that find their input's scale while running."""
WEIGHT_ONLY_OPS = _ops("MatMulNBits MatMulBnb4 GatherBlockQuantized")
"""Those whose weight alone is quantized, in blocks."""
OPS_ON_CODES = _ops("QGemm QAttention AscendDequant")
"""Those that compute on codes, beside every operator whose name begins with ``QLinear``."""


# Layout and movement. From the narrowest set to the widest.

LAYOUT = _ops("Flatten Reshape Squeeze Transpose Unsqueeze")
"""Every value of the input stands in the output once, laid out anew."""
WEIGHT_LAYOUT = (LAYOUT - {"Flatten"}) | {"Cast", "Identity"}
"""What stands between a stored weight and its reader. A ``Cast`` keeps a weight what it is; a
``Flatten`` would change which axis the output channels are on."""
MOVES_VALUES = LAYOUT | _ops(
    "Concat DepthToSpace Expand Gather GatherElements GatherND Identity Pad Slice SpaceToDepth",
    "Split Tile",
)
"""Values are moved, picked or repeated, none is computed; ``Pad`` alone adds some."""
KEEPS_CODES = MOVES_VALUES | _ops("MaxPool NhwcMaxPool Resize Upsample")
"""Given codes, these return codes of the same scale and zero point. A maximum of codes is the
code of the maximum, a mean of neighbours stays on the scale: values may be new, it is not."""
BETWEEN_Q_AND_DQ = LAYOUT | {"Identity", "MaxPool", "Clip"}
"""What quantizers leave between a Q and its DQ. A ``Clip`` of codes is an activation; operators
that join or cut tensors are not among them: there the two ends need not have one scale."""
BETWEEN_Q_AND_DQ_IN_PLACE = frozenset({"Identity", "Clip"})
"""Those of them that keep the place of each value: a float tensor can stand for the codes."""
KEEPS_MASK = MOVES_VALUES | {"Add", "Where", "Softmax", "Clip", "Max"}
"""Behind these the stand-in for minus infinity of an attention mask is still a mask."""
BEFORE_INPUT_QUANTIZER = _ops("Identity Slice Concat Reshape Transpose SpaceToDepth Pad Gather")
"""What exporters put between a model's input and the quantizer that tells its range."""
NEUTRAL = frozenset({"Identity", "Dropout"})
"""Inference leaves the tensor as it is, whatever its type."""
NEUTRAL_IN_FRONT = NEUTRAL | {"Cast"}
"""The same for a picture on its way into the network: there a ``Cast`` changes the type alone."""


# What is computed.

WEIGHTED = _ops("Conv ConvTranspose Gemm MatMul")
"""Products with a weight, as every toolchain quantizes them."""
ACTIVATIONS = _ops(
    "Celu Clip Elu Erf Gelu HardSigmoid HardSwish LeakyRelu Mish PRelu QuickGelu Relu Selu Sigmoid",
    "Softplus Softsign Swish Tanh ThresholdedRelu",
)
"""Elementwise functions of one tensor that networks use as nonlinearity."""
CLIPPING = frozenset({"Relu", "Clip"})
"""Activations that the range of a quantizer can stand for."""
BOUNDED_TO_ONE = _ops("Sigmoid HardSigmoid Softmax Tanh")
"""No value exceeds one in magnitude."""
ELEMENTWISE = ACTIVATIONS | _ops(
    "Abs Add Cast Div Dropout Exp Floor Identity Log Max Min Mul Neg Not Pow Reciprocal Round Sqrt",
    "Sub Where",
)
"""Each output value is computed of the input values of its own place."""
KEEPS_CHANNEL_AXIS = ELEMENTWISE | {"Concat", "Pad", "Slice", "Softmax", "Split"}
"""The channels are on the axis that they have in the input."""
CHANNELS_ON_AXIS_1 = _ops(
    "AveragePool BatchNormalization Conv ConvTranspose DepthToSpace FusedConv GlobalAveragePool",
    "GlobalMaxPool InstanceNormalization LRN MaxPool Resize SpaceToDepth Upsample",
)
"""By ONNX's definition, N x C x ..."""
CHANNELS_ON_LAST_AXIS = _ops(
    "Attention BiasGelu EmbedLayerNormalization FastGelu FusedMatMul Gather Gelu Gemm",
    "LayerNormalization MatMul MultiHeadAttention SkipLayerNormalization",
)
"""By definition; the GELUs are elementwise, but occur in transformers only."""
RANDOM_OPS = _ops(
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
)
"""Two of them with equal operands give different values, and constant operands no constant."""
SHAPE_OPS = frozenset({"Shape", "Size"})
"""They read a tensor's shape and none of its values."""
MASKING = _ops("Add Sub Mul Where Min Max")
"""Operators by which a huge constant is put over values, as attention masks are."""
MIXING = frozenset({"Concat", "Add"})
"""Operators that put tensors of different ranges into one."""
MAY_BE_PREPROCESSING = _ops("Sub Add Mul Div BatchNormalization Gather Slice Split")
"""At a model's input these may be a part of the pipeline that was built into the graph."""


# Families: operators that compute the same thing, under one name.

_MEMBERS: Mapping[str, tuple[str, ...]] = {
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
_FAMILY_OF = {op: family for family, members in _MEMBERS.items() for op in members}


def family_of(op: str) -> str:
    """Name shared by the operators that compute the same thing."""
    return _FAMILY_OF.get(op, op)


VIEW_FAMILIES = frozenset(map(family_of, LAYOUT))
"""Families of `LAYOUT`."""
RESHAPING_FAMILIES = VIEW_FAMILIES | {"MatMul", "LayerNormalization"}
"""Families whose operands two exporters may give different shapes: a matrix product, or a norm over
the last axes, is the same with the axes before them flattened."""
PRODUCT_FAMILIES = frozenset(map(family_of, WEIGHTED))
"""Families of `WEIGHTED`; they may have a bias as third operand."""
WEIGHTED_FAMILIES = PRODUCT_FAMILIES | {"LSTM", "GRU", "RNN", "Gather"}
"""Families that hold trained weights by which a node is known again: recurrent ones and the table
of an embedding count, though no toolchain quantizes them as it does products."""
PADS_ITSELF_FAMILIES = frozenset({"Conv", "MaxPool", "AveragePool"})
"""Families with pads of their own, which a converter may have taken over from a ``Pad``."""
AFFINE_FAMILIES = frozenset({"Add", "Mul", "Sub", "Div"})
"""With a constant, these can go into the weights of a product before them."""
SCALING_FAMILIES = ("BatchNormalization", "Mul")
"""Those that put a factor on each channel."""
FOLDABLE_ACTIVATION_FAMILIES = _ops("LeakyRelu Sigmoid Tanh HardSigmoid HardSwish Elu")
"""Activations that ONNX Runtime and toolchains fuse into the product before them, beside ``Clip``,
whose family ``Relu`` is of."""
COMMUTATIVE_FAMILIES = _ops("Add Mul Max Min Mean And Or Xor Equal")
"""The order of their operands says nothing."""
NEUTRAL_ELEMENTS: Mapping[str, float] = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
"""Constants that make these families change nothing."""
