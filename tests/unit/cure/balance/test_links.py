"""Where channels can be scaled, and where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdebug.cure.balance.links import Link, find_links
from qdebug.graph.model import Graph
from tests.support.nets import NetBuilder

Net = Callable[[NetBuilder, str], str]


def links_of(net: Net, opset: int = 17) -> tuple[Link, ...]:
    builder = NetBuilder(0, opset)
    result = net(builder, builder.input("x", [1, 4, 8, 8]))
    return find_links(Graph(builder.model(result), Path("net.onnx"), ""))


def tail(b: NetBuilder, x: str) -> str:
    """A product that reads six channels, behind something that ends every chain."""
    return str(b.op("Sigmoid", b.conv(x, 6, 3)))


def test_a_chain_through_a_relu_and_a_pool() -> None:
    (link,) = links_of(
        lambda b, x: tail(b, b.op("MaxPool", b.op("Relu", b.conv(x, 4, 6)), kernel_shape=[2, 2]))
    )
    assert (link.channels, link.axis, link.is_norm) == (6, 1, False)
    assert [part.axis for part in link.makers] == [0, -1]  # weight and bias
    assert [part.axis for part in link.readers] == [1]
    assert len(link.tensors) == 3


def test_a_depthwise_layer_between_two_dense_ones() -> None:
    first, second = links_of(
        lambda b, x: tail(b, b.op("Relu", b.conv(b.conv(x, 4, 6), 6, 6, group=6)))
    )
    assert [part.axis for part in first.readers] == [0]
    assert second.makers[0] == first.readers[0]


def test_a_layer_in_groups_reads_each_channel_in_its_own() -> None:
    (link,) = links_of(lambda b, x: b.conv(b.op("Relu", b.conv(x, 4, 6)), 6, 4, group=2))
    (part,) = link.readers
    assert (part.axis, part.groups) == (1, 2)
    value = np.arange(1.0, 13.0).reshape(4, 3, 1, 1)  # rows 0 and 1 read channels 0 to 2
    assert part.peaks(value, 6).tolist() == [4, 5, 6, 10, 11, 12]
    scaled = value * part.spread(np.array([1.0, 1, 1, 2, 1, 1]), value)
    assert (scaled / value)[:, :, 0, 0].tolist() == [[1, 1, 1], [1, 1, 1], [2, 1, 1], [2, 1, 1]]


def test_a_gemm_chain() -> None:
    def net(b: NetBuilder, x: str) -> str:
        flat = b.op("Flatten", x)
        hidden = b.op(
            "Relu", b.op("Gemm", flat, b.weight(256, 16, fan_in=256), b.const(np.ones(16)))
        )
        return str(b.op("Gemm", hidden, b.weight(3, 16), transB=1))

    (link,) = links_of(net)
    assert [part.axis for part in link.makers] == [1, -1]
    assert [part.axis for part in link.readers] == [1]


def test_matrices_behind_a_normalization_share_their_factors() -> None:
    def net(b: NetBuilder, x: str) -> str:
        own = [b.const(b.rng.normal(1, 0.1, 8)), b.const(b.rng.normal(0, 0.1, 8))]
        norm = b.op("LayerNormalization", x, *own)
        products = [b.op("MatMul", norm, b.weight(8, 5, fan_in=8)) for _ in range(3)]
        return str(b.op("Concat", *products, axis=-1))

    (link,) = links_of(net)
    assert link.is_norm
    assert (len(link.makers), len(link.readers)) == (2, 3)


def test_a_normalization_in_pieces() -> None:
    def net(b: NetBuilder, x: str) -> str:
        scaled = b.op("Mul", b.op("Tanh", x), b.const(np.ones(8)))
        shifted = b.op("Add", scaled, b.const(np.zeros(8)))
        return str(b.op("MatMul", shifted, b.weight(8, 5, fan_in=8)))

    (link,) = links_of(net)
    assert (link.is_norm, len(link.makers), len(link.readers)) == (True, 2, 1)


def relu6(b: NetBuilder, x: str) -> str:
    return tail(b, b.clip(b.conv(x, 4, 6)))


def hard_swish(b: NetBuilder, x: str) -> str:
    return tail(b, b.op("HardSwish", b.conv(x, 4, 6)))


def branch(b: NetBuilder, x: str) -> str:
    middle = b.op("Relu", b.conv(x, 4, 6))
    return str(b.op("Concat", tail(b, middle), middle, axis=1))


def shared_weights(b: NetBuilder, x: str) -> str:
    first, second = b.weight(6, 4, 1, 1), b.weight(4, 6, 1, 1)
    for _ in range(2):
        x = b.op("Relu", b.op("Conv", b.op("Relu", b.op("Conv", x, first)), second))
    return x


def with_indices(b: NetBuilder, x: str) -> str:
    pooled, _ = b.op("MaxPool", b.conv(x, 4, 6), kernel_shape=[2, 2], outputs=2)
    return tail(b, pooled)


def norm_read_by_others(b: NetBuilder, x: str) -> str:
    norm = b.op("LayerNormalization", x, b.const(np.ones(8)))
    product = b.op("MatMul", norm, b.weight(8, 8, fan_in=8))
    return str(b.op("Add", product, norm))


@pytest.mark.parametrize(
    "net",
    [relu6, hard_swish, branch, shared_weights, with_indices, norm_read_by_others],
    ids=lambda net: net.__name__,
)
def test_what_would_change_the_outputs_is_left(net: Net) -> None:
    assert not links_of(net, opset=17)


def test_an_output_in_between_is_left() -> None:
    builder = NetBuilder(0, 17)
    middle = builder.op("Relu", builder.conv(builder.input("x", [1, 4, 8, 8]), 4, 6))
    model = builder.model(tail(builder, middle))
    graph = Graph(model, Path("net.onnx"), "")
    assert len(find_links(graph)) == 1
    assert not find_links(graph, [middle])
