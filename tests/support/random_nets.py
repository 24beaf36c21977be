"""Small networks drawn at random: other shapes, operator sets and spellings each time.

They differ from the trained ones in what the trained ones lack: explicit padding, unfused
normalizations, old operator sets, several outputs, shared weights, branches without signal,
Focus slices, channel shuffles, gates in pieces, nodes without names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from tests.support.nets import NetBuilder

OPSETS = (11, 12, 13, 16, 17)


class _Net:
    """A feature map under construction: its tensor, channels and side."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = NetBuilder(seed, int(self.rng.choice(OPSETS)))
        self.side = 32
        self.channels = 3
        self.x = self.b.input("image", [1, 3, 32, 32])
        self.shared: dict[int, tuple[str, str]] = {}

    def conv(self, x: str, cin: int, cout: int, k: int = 3, stride: int = 1, group: int = 1) -> str:
        """Padded by attribute, by ``auto_pad`` or by a ``Pad`` in front."""
        b, way = self.b, self.rng.integers(6)
        weight = b.weight(cout, cin // group, k, k)
        bias = b.const(self.rng.normal(0, 0.2, cout))
        more: dict[str, Any] = {"kernel_shape": [k, k], "strides": [stride] * 2, "group": group}
        if k > 1 and way == 0:
            return str(b.op("Conv", x, weight, bias, auto_pad="SAME_UPPER", **more))
        p = k // 2
        if k > 1 and way == 1:
            padded = b.op("Pad", x, b.ints(0, 0, p, p, 0, 0, p, p))
            return str(b.op("Conv", padded, weight, bias, **more))
        return str(b.op("Conv", x, weight, bias, pads=[p] * 4, **more))

    def activation(self, x: str, kind: int | None = None) -> str:
        b = self.b
        kind = int(self.rng.integers(7)) if kind is None else kind
        if kind == 0:
            return b.clip(x)
        if kind == 1:
            return b.silu(x)
        if kind == 2:
            return str(b.op("LeakyRelu", x, alpha=0.1))
        if kind == 3:
            gate = b.clip(b.op("Add", x, b.const(3.0)))
            return str(b.op("Div", b.op("Mul", x, gate), b.const(6.0)))
        if kind == 4:
            return str(b.op("Mul", x, b.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)))
        return str(b.op("Relu", x))

    def norm(self, x: str, channels: int) -> str:
        return self.b.batch_norm(x, channels) if self.rng.random() < 0.3 else x


def _plain(net: _Net) -> None:
    cout = int(net.rng.choice([8, 12, 16]))
    made = net.conv(net.x, net.channels, cout, int(net.rng.choice([1, 3, 5])))
    net.x, net.channels = net.activation(net.norm(made, cout)), cout


def _down(net: _Net) -> None:
    if net.side <= 8:
        return
    cout = int(net.rng.choice([12, 16, 24]))
    net.x = net.activation(net.norm(net.conv(net.x, net.channels, cout, stride=2), cout))
    net.channels, net.side = cout, net.side // 2


def _pool(net: _Net) -> None:
    b = net.b
    kind = "MaxPool" if net.rng.random() < 0.5 else "AveragePool"
    if net.side > 8 and net.rng.random() < 0.5:
        net.x, net.side = b.op(kind, net.x, kernel_shape=[2, 2], strides=[2, 2]), net.side // 2
        return
    net.x = b.op(kind, net.x, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])


def _depthwise(net: _Net) -> None:
    x = net.activation(net.conv(net.x, net.channels, net.channels, group=net.channels))
    net.x = net.norm(net.conv(x, net.channels, net.channels, 1), net.channels)


def _residual(net: _Net) -> None:
    c = net.channels
    inner = net.conv(net.activation(net.conv(net.x, c, c)), c, c)
    net.x = net.b.op("Add", net.x, net.norm(inner, c))
    if net.rng.random() < 0.6:
        net.x = net.activation(net.x, 5)


def _branches(net: _Net) -> None:
    c = net.channels
    left = net.activation(net.conv(net.x, c, 8, 1))
    right = net.activation(net.conv(net.x, c, 8, 3))
    third = [net.x] if net.rng.random() < 0.4 else []
    net.x = net.b.op("Concat", left, right, *third, axis=1)
    net.channels = 16 + (c if third else 0)


def _shared(net: _Net) -> None:
    """Two halves through one and the same convolution, put together by their difference."""
    b, half = net.b, net.channels // 2
    if net.channels % 2:
        return
    parts = _split(net, [half, half])
    weight, bias = b.weight(half, half, 3, 3), b.const(net.rng.normal(0, 0.2, half))
    sides = [b.op("Conv", p, weight, bias, kernel_shape=[3, 3], pads=[1] * 4) for p in parts]
    joined = b.op("Sub", *(b.op("Tanh", side) for side in sides))
    net.x = b.op("Concat", joined, parts[0], axis=1)


def _split(net: _Net, sizes: list[int]) -> list[str]:
    b = net.b
    if b.opset >= 13:
        return list(b.op("Split", net.x, b.ints(*sizes), outputs=len(sizes), axis=1))
    return list(b.op("Split", net.x, outputs=len(sizes), axis=1, split=sizes))


def _focus(net: _Net) -> None:
    b = net.b
    if net.side < 16 or net.channels > 16:
        return
    slices = []
    for top, left in ((0, 0), (1, 0), (0, 1), (1, 1)):
        args = b.ints(top, left), b.ints(2**31 - 1, 2**31 - 1), b.ints(2, 3), b.ints(2, 2)
        slices.append(b.op("Slice", net.x, *args))
    net.x, net.side = b.op("Concat", *slices, axis=1), net.side // 2
    c = net.channels * 4
    net.x, net.channels = net.activation(net.conv(net.x, c, 16)), 16


def _shuffle(net: _Net) -> None:
    b, c, s = net.b, net.channels, net.side
    groups = 2 if c % 2 == 0 else 1
    x = b.op("Reshape", net.x, b.ints(1, groups, c // groups, s, s))
    x = b.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    net.x = net.conv(b.op("Reshape", x, b.ints(1, c, s, s)), c, c, 1)


def _turned(net: _Net) -> None:
    """Rows and columns exchanged, as for attention over one axis."""
    x = net.b.op("Transpose", net.x, perm=[0, 1, 3, 2])
    net.x = net.conv(net.activation(x), net.channels, net.channels)


def _resize(net: _Net) -> None:
    b = net.b
    if net.side > 16:
        return
    scales = b.const([1, 1, 2, 2])
    mode = net.rng.integers(3)
    if mode == 0:
        options: dict[str, Any] = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
        }
        net.x = b.op("Resize", net.x, _roi(b), scales, **options, nearest_mode="floor")
    elif mode == 1:
        net.x = b.op("Resize", net.x, _roi(b), scales, mode="linear")
    else:
        options = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        net.x = b.op("Resize", net.x, _roi(b), scales, **options)
    net.side *= 2
    net.x = net.activation(net.conv(net.x, net.channels, net.channels))


def _roi(b: NetBuilder) -> str:
    return b.const(np.zeros(0)) if b.opset < 13 else ""


def _excite(net: _Net) -> None:
    b, c = net.b, net.channels
    squeeze = b.op("Relu", net.conv(b.op("GlobalAveragePool", net.x), c, c, 1))
    logits = net.conv(squeeze, c, c, 1)
    hard = net.rng.random() < 0.5
    gate = b.op("HardSigmoid", logits, alpha=0.2, beta=0.5) if hard else b.op("Sigmoid", logits)
    net.x = b.op("Mul", net.x, gate)


def _transposed(net: _Net) -> None:
    b, c = net.b, net.channels
    if net.side > 16:
        return
    weight = b.const(net.rng.normal(0, 1.2 / np.sqrt(c), (c, 12, 2, 2)))
    made = b.op("ConvTranspose", net.x, weight, b.const(net.rng.normal(0, 0.2, 12)), strides=[2, 2])
    net.x, net.channels, net.side = net.activation(made), 12, net.side * 2


def _pixels(net: _Net) -> None:
    if net.side > 16:
        return
    made = net.conv(net.x, net.channels, 32, 1)
    net.x = net.activation(net.b.op("DepthToSpace", made, blocksize=2, mode="CRD"))
    net.channels, net.side = 8, net.side * 2


def _attention(net: _Net) -> None:
    """Positions attend to one another, where there are few."""
    b, c, s = net.b, net.channels, net.side
    if s > 8:
        return
    n = s * s
    flat = b.op("Reshape", net.x, b.ints(1, c, n))
    tokens = b.op("Transpose", flat, perm=[0, 2, 1])
    q, k, v = (b.linear(tokens, c, c) for _ in range(3))
    scores = b.op("Mul", b.op("MatMul", q, b.op("Transpose", k, perm=[0, 2, 1])), b.const(c**-0.5))
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    back = b.op("Transpose", b.op("Add", mixed, tokens), perm=[0, 2, 1])
    net.x = b.op("Reshape", back, b.ints(1, c, s, s))


BLOCKS: tuple[Callable[[_Net], None], ...] = (
    *(_plain, _down, _pool, _depthwise, _residual, _branches, _shared, _focus, _shuffle),
    *(_turned, _resize, _excite, _transposed, _pixels, _attention),
)


def _classes(net: _Net) -> list[str]:
    b, c = net.b, net.channels
    flat = b.op("Flatten", b.op("GlobalAveragePool", net.x))
    hidden = b.op("Gemm", flat, b.weight(c, c), b.const(net.rng.normal(0, 0.2, c)), transB=1)
    hidden = net.activation(hidden, int(net.rng.choice([0, 2, 5])))
    return [b.op("Gemm", hidden, b.weight(10, c), b.const(net.rng.normal(0, 1, 10)), transB=1)]


def _maps(net: _Net) -> list[str]:
    """Two maps of one shape, and a third that the picture gives no signal."""
    found = [net.conv(net.activation(net.conv(net.x, net.channels, 12)), 12, 4, 1) for _ in "ab"]
    if net.rng.random() < 0.4:
        quiet = net.b.op("Sub", net.conv(net.x, net.channels, 4, 1), net.b.const(200.0))
        found.append(net.b.op("Sigmoid", quiet))
    return found


def _rows(net: _Net) -> list[str]:
    """Rows of boxes and of scores, as face detectors give them."""
    b, n = net.b, net.side * net.side
    found = []
    for size, scored in ((4, False), (2, True)):
        made = net.conv(net.x, net.channels, size, 3)
        rows = b.op("Reshape", b.op("Transpose", made, perm=[0, 2, 3, 1]), b.ints(1, n, size))
        found.append(b.op("Softmax", rows, axis=2) if scored else rows)
    return found


HEADS: tuple[Callable[[_Net], list[str]], ...] = (_classes, _maps, _rows)


def random_net(seed: int) -> onnx.ModelProto:
    """A network of five to eight blocks and a head."""
    net = _Net(seed)
    _plain(net)
    chosen = net.rng.choice(len(BLOCKS), int(net.rng.integers(4, 8)))
    for at in chosen:
        BLOCKS[int(at)](net)
    outputs = HEADS[int(net.rng.integers(len(HEADS)))](net)
    model = net.b.model(*outputs)
    if net.rng.random() < 0.25:
        for node in model.graph.node:
            node.name = ""
    return model
