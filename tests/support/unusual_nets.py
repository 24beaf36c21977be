"""Small networks drawn at random of operators that ``random_nets`` has not.

Transformers with the normalization in one node or in pieces, sequences of one dimension, recurrent
layers, channels last, normalization by instance, two inputs through shared weights, activations
that no convolution swallows, gathers, reductions and products by equation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from tests.support.nets import NetBuilder

OPSETS = (13, 15, 17, 18, 20)
_HARD_SWISH, _LAYER_NORM, _REDUCE_BY_INPUT, _GELU = 14, 17, 18, 20
"""Operator sets from which on they are there."""


class _Net:
    """A builder that spells operators as its operator set has them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.b = NetBuilder(int(rng.integers(1 << 30)), int(rng.choice(OPSETS)))

    def reduce(self, op: str, x: str, axes: list[int], keepdims: int = 1) -> str:
        if self.b.opset >= _REDUCE_BY_INPUT:
            return str(self.b.op(op, x, self.b.ints(*axes), keepdims=keepdims))
        return str(self.b.op(op, x, axes=axes, keepdims=keepdims))

    def split(self, x: str, sizes: list[int], axis: int) -> list[str]:
        return list(self.b.op("Split", x, self.b.ints(*sizes), outputs=len(sizes), axis=axis))

    def norm(self, x: str, width: int) -> str:
        """Layer normalization, in one node where the operator set has it and chance says so."""
        b, rng = self.b, self.rng
        scale, shift = b.const(rng.uniform(0.5, 1.5, width)), b.const(rng.normal(0, 0.2, width))
        if b.opset >= _LAYER_NORM and rng.random() < 0.6:
            return str(b.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5))
        centred = b.op("Sub", x, self.reduce("ReduceMean", x, [-1]))
        square = b.op("Mul", centred, centred)
        deviation = b.op(
            "Sqrt", b.op("Add", self.reduce("ReduceMean", square, [-1]), b.const(1e-5))
        )
        return str(b.op("Add", b.op("Mul", b.op("Div", centred, deviation), scale), shift))

    def activation(self, x: str) -> str:
        made = (
            *(self._gelu, self._gelu_by_tanh, self._gelu_by_sigmoid, self._mish, self._hard_swish),
            *(self._elu, self.b.silu),
            lambda x: str(self.b.op("Selu", x)),
            lambda x: str(self.b.op("Relu", x)),
        )
        return made[int(self.rng.integers(len(made)))](x)

    def _gelu(self, x: str) -> str:
        return str(self.b.op("Gelu", x)) if self.b.opset >= _GELU else self.b.gelu(x)

    def _gelu_by_tanh(self, x: str) -> str:
        b = self.b
        cubed = b.op("Pow", x, b.const(3.0))
        inner = b.op("Add", x, b.op("Mul", cubed, b.const(0.044715)))
        gate = b.op("Add", b.op("Tanh", b.op("Mul", inner, b.const(0.7978845608))), b.const(1.0))
        return str(b.op("Mul", b.op("Mul", x, gate), b.const(0.5)))

    def _gelu_by_sigmoid(self, x: str) -> str:
        b = self.b
        return str(b.op("Mul", x, b.op("Sigmoid", b.op("Mul", x, b.const(1.702)))))

    def _mish(self, x: str) -> str:
        return str(self.b.op("Mul", x, self.b.op("Tanh", self.b.op("Softplus", x))))

    def _hard_swish(self, x: str) -> str:
        return str(self.b.op("HardSwish", x)) if self.b.opset >= _HARD_SWISH else self.b.silu(x)

    def _elu(self, x: str) -> str:
        return str(self.b.op("Elu", x, alpha=float(self.rng.choice([0.5, 1.0]))))

    def prelu(self, x: str, channels: int, dims: int) -> str:
        slope = self.rng.uniform(0.05, 0.4, (channels, *([1] * dims)))
        return str(self.b.op("PRelu", x, self.b.const(slope)))


def _attention(net: _Net, x: str, tokens: int, width: int, heads: int) -> str:
    """Keys, queries and values by one product or by three; scores by MatMul or by equation."""
    b, rng, size = net.b, net.rng, width // heads
    if rng.random() < 0.5:
        parts = net.split(b.linear(x, width, 3 * width), [width] * 3, 2)
    else:
        parts = [b.linear(x, width, width) for _ in range(3)]
    split = [b.op("Reshape", p, b.ints(0, tokens, heads, size)) for p in parts]
    scale = b.const(size**-0.5)
    if rng.random() < 0.3:
        scores = b.op("Einsum", split[0], split[1], equation="bnhd,bmhd->bhnm")
        soft = b.op("Softmax", b.op("Mul", scores, scale), axis=-1)
        mixed = b.op("Einsum", soft, split[2], equation="bhnm,bmhd->bnhd")
    else:
        q, v = (b.op("Transpose", split[at], perm=[0, 2, 1, 3]) for at in (0, 2))
        k = b.op("Transpose", split[1], perm=[0, 2, 3, 1])
        scores = b.op("MatMul", b.op("Mul", q, scale), k)
        if rng.random() < 0.4:  # positions in front see nothing of those behind
            mask = np.triu(np.full((tokens, tokens), -30.0), 1)[None, None]
            scores = b.op("Add", scores, b.const(mask))
        mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
        mixed = b.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return b.linear(b.op("Reshape", mixed, b.ints(0, tokens, width)), width, width)


def _transformer(net: _Net) -> list[str]:
    """A picture in patches, a class token, normalization before or after each block."""
    b, rng, width, heads = net.b, net.rng, 32, int(net.rng.choice([2, 4]))
    x = b.input("image", [1, 3, 32, 32])
    patches = b.op("Conv", x, b.weight(width, 3, 8, 8), kernel_shape=[8, 8], strides=[8, 8])
    flat = b.op("Transpose", b.op("Reshape", patches, b.ints(1, width, 16)), perm=[0, 2, 1])
    x = b.op("Concat", b.const(rng.normal(0, 1, (1, 1, width))), flat, axis=1)
    x = b.op("Add", x, b.const(rng.normal(0, 0.5, (1, 17, width))))
    first = rng.random() < 0.6
    for _ in range(int(rng.integers(1, 4))):
        inner = _attention(net, net.norm(x, width) if first else x, 17, width, heads)
        x = b.op("Add", x, inner)
        x = x if first else net.norm(x, width)
        hidden = net.activation(b.linear(net.norm(x, width) if first else x, width, 48))
        x = b.op("Add", x, b.linear(hidden, 48, width))
        x = x if first else net.norm(x, width)
    x = net.norm(x, width)
    if rng.random() < 0.5:
        pooled = b.op("Gather", x, b.const(0, dtype=np.int64), axis=1)
    else:
        pooled = net.reduce("ReduceMean", x, [1], keepdims=0)
    return [b.linear(pooled, width, 10)]


def _sequence(net: _Net) -> list[str]:
    """Convolutions over time, then a recurrent layer or a pooling, as for sound."""
    b, rng = net.b, net.rng
    x = b.input("sound", [1, 8, 128])
    channels = 8
    for stride in (1, 2, 2):
        options: dict[str, Any] = {"kernel_shape": [5], "pads": [2, 2], "strides": [stride]}
        weight, bias = b.weight(16, channels, 5), b.const(rng.normal(0, 0.2, 16))
        made = b.op("Conv", x, weight, bias, **options)
        x = net.prelu(made, 16, 1) if rng.random() < 0.4 else net.activation(made)
        channels = 16
    if rng.random() < 0.5:
        x = b.op("MaxPool", x, kernel_shape=[3], pads=[1, 1], strides=[1])
    if rng.random() < 0.5:
        steps = b.op("Transpose", x, perm=[2, 0, 1])
        kind, gates = ("GRU", 3) if rng.random() < 0.5 else ("LSTM", 4)
        more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        size = 12
        weights = [b.weight(1, gates * size, k, fan_in=k) for k in (16, size)]
        bias = b.const(rng.normal(0, 0.2, (1, 2 * gates * size)))
        run = b.op(kind, steps, *weights, bias, outputs=2, hidden_size=size, **more)[0]
        steps = b.op("Squeeze", run, b.ints(1))
        last = b.op("Transpose", steps, perm=[1, 0, 2])
        return [b.linear(last, size, 6)]
    mean = net.reduce("ReduceMean", x, [2], keepdims=0)
    peak = net.reduce("ReduceMax", x, [2], keepdims=0)
    return [b.linear(b.op("Concat", mean, peak, axis=1), 32, 6)]


def _channels_last(net: _Net) -> list[str]:
    """From a toolchain with channels last: transposed at both ends, mirrored borders."""
    b, rng = net.b, net.rng
    x = b.op("Transpose", b.input("picture", [1, 32, 32, 3]), perm=[0, 3, 1, 2])
    x = b.op("Pad", x, b.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    x = b.op("Conv", x, b.weight(16, 3, 3, 3), kernel_shape=[3, 3], strides=[2, 2])
    x = b.op("InstanceNormalization", x, *(b.const(rng.uniform(0.5, 1.5, 16)) for _ in "ab"))
    skip = net.activation(x)
    x = net.activation(b.conv(skip, 16, 24, stride=2))
    if rng.random() < 0.5:
        x = _grouped_norm(net, x, 24, 8)
    x = b.op("SpaceToDepth", x, blocksize=2) if rng.random() < 0.4 else x
    wide = 96 if b.nodes[-1].op_type == "SpaceToDepth" else 24
    if wide == 96:
        x = b.op("DepthToSpace", b.conv(x, 96, 96, 1), blocksize=2, mode="DCR")
    mode = "cubic" if rng.random() < 0.5 else "linear"
    x = b.op("Resize", x, "", b.const([1, 1, 2, 2]), mode=mode)
    x = net.activation(b.conv(b.op("Concat", x, skip, axis=1), 40, 16))
    made = b.op("ConvTranspose", x, b.weight(16, 5, 3, 3), **_doubling())
    return [b.op("Transpose", made, perm=[0, 2, 3, 1])]


def _doubling() -> dict[str, Any]:
    return {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}


def _grouped_norm(net: _Net, x: str, channels: int, side: int) -> str:
    """Normalization of groups of channels, spelled by one of instances."""
    b, rng, groups = net.b, net.rng, 4
    parts = b.op("Reshape", x, b.ints(1, groups, -1))
    ones = b.const(np.ones(groups)), b.const(np.zeros(groups))
    parts = b.op("InstanceNormalization", parts, *ones)
    x = b.op("Reshape", parts, b.ints(1, channels, side, side))
    scale = b.const(rng.uniform(0.5, 1.5, (channels, 1, 1)))
    return str(b.op("Add", b.op("Mul", x, scale), b.const(rng.normal(0, 0.2, (channels, 1, 1)))))


def _siamese(net: _Net) -> list[str]:
    """Two pictures through the same weights, then their likeness."""
    b, rng = net.b, net.rng
    sides = [b.input(name, [1, 3, 24, 24]) for name in ("left", "right")]
    weights = [b.weight(12, 3, 3, 3), b.weight(24, 12, 3, 3)]
    biases = [b.const(rng.normal(0, 0.2, n)) for n in (12, 24)]
    last = b.weight(24, 16, fan_in=24)
    kind = int(rng.integers(3))
    found = []
    for side in sides:
        x = side
        for weight, bias in zip(weights, biases, strict=True):
            options: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 2]}
            made = b.op("Conv", x, weight, bias, **options)
            x = b.op("Relu", made) if kind == 0 else b.op("LeakyRelu", made, alpha=0.1)
        vector = b.op("MatMul", net.reduce("ReduceMean", x, [2, 3], keepdims=0), last)
        found.append(b.op("Div", vector, net.reduce("ReduceL2", vector, [1])))
    if rng.random() < 0.5:
        gap = b.op("Abs", b.op("Sub", *found))
        return [b.linear(gap, 16, 4), found[0]]
    outer = b.op("Einsum", *found, equation="bi,bj->bij")
    return [b.linear(b.op("Reshape", outer, b.ints(1, 256)), 256, 8), found[1]]


def _gated(net: _Net) -> list[str]:
    """Picks the larger of two branches, one where a mask says so, maxima over channels."""
    b, rng = net.b, net.rng
    x = b.input("image", [1, 3, 32, 32])
    x = net.prelu(b.conv(x, 3, 16, stride=2), 16, 2)
    larger = b.op("Max", *(b.conv(x, 16, 16, k) for k in (1, 3)))
    x = b.op("Min", net.activation(larger), b.op("Add", x, b.const(rng.normal(1, 0.3, (16, 1, 1)))))
    if rng.random() < 0.5:
        chosen = b.op("Greater", x, b.const(0.2))
        x = b.op("Where", chosen, x, net.activation(b.conv(x, 16, 16)))
    spread = b.op("Sub", net.reduce("ReduceMax", x, [1]), net.reduce("ReduceMean", x, [1]))
    x = b.op("Mul", x, b.op("Expand", b.op("Sigmoid", spread), b.ints(1, 16, 16, 16)))
    x = net.activation(b.conv(x, 16, 24, stride=2))
    pooled = b.op("AveragePool", x, kernel_shape=[4, 4], strides=[2, 2], ceil_mode=1)
    pooled = b.op("Flatten", pooled)
    width = 24 * 3 * 3
    return [b.linear(net.activation(b.linear(pooled, width, 32)), 32, 12)]


KINDS: dict[str, Callable[[_Net], list[str]]] = {
    "transformer": _transformer,
    "sequence": _sequence,
    "channels last": _channels_last,
    "siamese": _siamese,
    "gated": _gated,
}
"""Networks by short name."""


def unusual_net(seed: int) -> onnx.ModelProto:
    """A network of a kind and of pieces that the seed picks."""
    rng = np.random.default_rng(seed)
    net = _Net(rng)
    kind = sorted(KINDS)[int(rng.integers(len(KINDS)))]
    return net.b.model(*KINDS[kind](net))
