"""Small float networks, built node by node, that exercise what real ones are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class NetBuilder:
    """Adds nodes one after the other; every method returns the name of its result."""

    def __init__(self, seed: int, opset: int = 13) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.counts: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def const(self, value: Any, name: str = "", dtype: Any = np.float32) -> str:
        name = name or f"const_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        index = self.counts[op] = self.counts.get(op, -1) + 1
        name = f"/{op}_{index}"
        made = [f"{name}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attributes))
        return made[0] if outputs == 1 else made

    def weight(self, *shape: int, fan_in: int | None = None) -> str:
        fan = fan_in or int(np.prod(shape[1:]))
        return self.const(self.rng.normal(0, 1.2 / np.sqrt(fan), shape))

    def conv(self, x: str, cin: int, cout: int, k: int = 3, stride: int = 1, group: int = 1) -> str:
        weight = self.weight(cout, cin // group, k, k)
        bias = self.const(self.rng.normal(0, 0.2, cout))
        pad = k // 2
        return str(
            self.op(
                "Conv",
                x,
                weight,
                bias,
                kernel_shape=[k, k],
                pads=[pad] * 4,
                strides=[stride] * 2,
                group=group,
            )
        )

    def batch_norm(self, x: str, channels: int) -> str:
        rng = self.rng
        parts = [
            rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels),
            rng.normal(0, 0.3, channels),
            rng.normal(0, 0.3, channels),
            rng.uniform(0.5, 2, channels),
        ]
        return str(self.op("BatchNormalization", x, *(self.const(p) for p in parts)))

    def silu(self, x: str) -> str:
        return str(self.op("Mul", x, self.op("Sigmoid", x)))

    def clip(self, x: str, low: float = 0.0, high: float = 6.0) -> str:
        return str(self.op("Clip", x, self.const(low), self.const(high)))

    def linear(self, x: str, cin: int, cout: int) -> str:
        product = self.op("MatMul", x, self.const(self.rng.normal(0, cin**-0.5, (cin, cout))))
        return str(self.op("Add", product, self.const(self.rng.normal(0, 0.2, cout))))

    def layer_norm(self, x: str, width: int) -> str:
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        square = self.op("Pow", centred, self.const(2.0))
        variance = self.op("ReduceMean", square, axes=[-1])
        deviation = self.op("Sqrt", self.op("Add", variance, self.const(1e-5)))
        scaled = self.op(
            "Mul", self.op("Div", centred, deviation), self.const(self.rng.uniform(0.5, 1.5, width))
        )
        return str(self.op("Add", scaled, self.const(self.rng.normal(0, 0.2, width))))

    def gelu(self, x: str) -> str:
        inner = self.op("Erf", self.op("Div", x, self.const(np.sqrt(2.0))))
        shifted = self.op("Add", inner, self.const(1.0))
        return str(self.op("Mul", self.op("Mul", x, shifted), self.const(0.5)))

    def ints(self, *values: int) -> str:
        return self.const(values, dtype=np.int64)

    def model(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(inferred)
        return inferred


def conv_net(batch: int | str = 1) -> onnx.ModelProto:
    """Convolutions with every activation, a residual, branches, Resize, two outputs."""
    b = NetBuilder(1)
    x = b.input("image", [batch, 3, 32, 32])
    x = b.op("Relu", b.batch_norm(b.conv(x, 3, 16, stride=2), 16))
    x = b.clip(b.conv(x, 16, 16, group=16))
    x = b.silu(b.conv(x, 16, 16, 1))
    left = b.silu(b.conv(x, 16, 8, 1))
    right = b.silu(b.conv(x, 16, 8, 1))
    inner = b.op("Relu", b.conv(b.op("Relu", b.conv(left, 8, 8, 1)), 8, 8))
    joined = b.op("Concat", b.op("Add", left, inner), right, axis=1)
    deep = b.op("LeakyRelu", b.conv(joined, 16, 32, stride=2), alpha=0.1)
    deep = b.op("MaxPool", deep, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    up = b.op("Resize", deep, "", b.const([1, 1, 2, 2]), mode="nearest")
    merged = b.op("Concat", up, joined, axis=1)
    hard = b.conv(merged, 48, 24, 1)
    gate = b.clip(b.op("Add", hard, b.const(3.0)))
    swish = b.op("Div", b.op("Mul", hard, gate), b.const(6.0))
    squeeze = b.op("GlobalAveragePool", swish)
    excite = b.op("HardSigmoid", b.conv(squeeze, 24, 24, 1), alpha=0.2, beta=0.5)
    swish = b.op("Mul", swish, excite)
    heat = b.op("Sigmoid", b.conv(swish, 24, 4, 1))
    flat = b.op("Flatten", b.op("GlobalAveragePool", swish))
    logits = b.op("Gemm", flat, b.weight(10, 24), b.const(b.rng.normal(0, 1, 10)), transB=1)
    return b.model(heat, logits)


def attention_net(batch: int = 1) -> onnx.ModelProto:
    """Two transformer blocks with LayerNorm and GELU in pieces."""
    b = NetBuilder(2)
    x = b.input("tokens", [batch, 12, 32])
    x = b.linear(x, 32, 32)
    for _ in range(2):
        x = b.op("Add", x, _attention(b, b.layer_norm(x, 32), batch))
        hidden = b.gelu(b.linear(b.layer_norm(x, 32), 32, 64))
        x = b.op("Add", x, b.linear(hidden, 64, 32))
    return b.model(b.linear(b.layer_norm(x, 32), 32, 7))


def _attention(b: NetBuilder, x: str, batch: int) -> str:
    heads = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        split = b.op("Reshape", b.linear(x, 32, 32), b.ints(batch, 12, 4, 8))
        heads.append(b.op("Transpose", split, perm=perm))
    scores = b.op("Mul", b.op("MatMul", heads[0], heads[1]), b.const(8**-0.5))
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), heads[2])
    merged = b.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return b.linear(b.op("Reshape", merged, b.ints(batch, 12, 32)), 32, 32)


def twin_net() -> onnx.ModelProto:
    """Equal branches: other weights, shared weights on other inputs, and no weights at all."""
    b = NetBuilder(3)
    first, second = b.input("first", [1, 8, 16, 16]), b.input("second", [1, 8, 16, 16])
    shared, bias = b.weight(8, 8, 3, 3), b.const(b.rng.normal(0, 0.2, 8))
    sides = [
        b.op("Relu", b.op("Conv", side, shared, bias, kernel_shape=[3, 3], pads=[1] * 4))
        for side in (first, second)
    ]
    x = b.op("Concat", *sides, axis=1)
    branches = [b.op("Relu", b.conv(b.op("Relu", b.conv(x, 16, 16)), 16, 16)) for _ in range(2)]
    x = b.op("Add", *branches)
    a, c = b.op("Split", x, b.ints(8, 8), outputs=2, axis=1)
    halves = [b.op("Mul", part, b.op("Sigmoid", part)) for part in (a, c)]
    x = b.op("Concat", halves[1], halves[0], axis=1)
    tops = [b.op("Slice", x, b.ints(start), b.ints(start + 8), b.ints(2)) for start in (0, 8)]
    return b.model(b.op("Sub", *(b.op("Tanh", top) for top in tops)), b.conv(x, 16, 4, 1))


def head_net() -> onnx.ModelProto:
    """A detector's head: equal towers at two scales, DFL, strides, boxes beside scores."""
    b = NetBuilder(4)
    x = b.input("images", [1, 3, 32, 32])
    levels = [b.silu(b.conv(x, 3, 16, stride=2))]
    levels.append(b.silu(b.conv(levels[0], 16, 16, stride=2)))
    boxes, scores = [], []
    for size, level in zip((256, 64), levels, strict=True):
        box = b.conv(b.silu(b.conv(level, 16, 16)), 16, 16, 1)
        score = b.conv(b.silu(b.conv(level, 16, 16)), 16, 4, 1)
        boxes.append(b.op("Reshape", box, b.ints(1, 16, size)))
        scores.append(b.op("Reshape", score, b.ints(1, 4, size)))
    box = b.op("Reshape", b.op("Concat", *boxes, axis=2), b.ints(1, 4, 4, 320))
    soft = b.op("Softmax", b.op("Transpose", box, perm=[0, 2, 1, 3]), axis=1)
    steps = b.const(np.arange(4).reshape(1, 4, 1, 1))
    distance = b.op("Conv", soft, steps, kernel_shape=[1, 1])
    distance = b.op("Reshape", distance, b.ints(1, 4, 320))
    near, far = b.op("Split", distance, b.ints(2, 2), outputs=2, axis=1)
    grid = b.const(b.rng.uniform(0, 16, (1, 2, 320)))
    corner, other = b.op("Sub", grid, near), b.op("Add", grid, far)
    centre = b.op("Div", b.op("Add", corner, other), b.const(2.0))
    box = b.op("Concat", centre, b.op("Sub", other, corner), axis=1)
    box = b.op("Mul", box, b.const(np.repeat([2.0, 4.0], (256, 64)).reshape(1, 1, 320)))
    score = b.op("Sigmoid", b.op("Concat", *scores, axis=2))
    return b.model(b.op("Concat", box, score, axis=1))


NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "conv": conv_net,
    "attention": attention_net,
    "twins": twin_net,
    "head": head_net,
}
"""Networks by short name."""


def sample_inputs(model: onnx.ModelProto, count: int = 1, seed: int = 0) -> list[dict[str, Array]]:
    """Smooth random inputs, so that neighbouring values are related as in pictures."""
    rng = np.random.default_rng(seed)
    constants = {t.name for t in model.graph.initializer}
    feeds = []
    for _ in range(count):
        feed = {}
        for info in model.graph.input:
            if info.name not in constants:
                shape = [max(d.dim_value, 1) for d in info.type.tensor_type.shape.dim]
                noise = rng.normal(0, 1, shape)
                smooth = noise + 2 * np.cumsum(noise, axis=-1) / np.sqrt(shape[-1])
                feed[info.name] = smooth.astype(np.float32)
        feeds.append(feed)
    return feeds
