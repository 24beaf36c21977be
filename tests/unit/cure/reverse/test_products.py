"""Convolutions and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.differences import Case, check_case


def weight(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def conv(x: tuple[int, ...], w: tuple[int, ...], opset: int = 11, **attributes: Any) -> Case:
    return Case("Conv", [x], attributes, {1: weight(*w)}, opset=opset)


def transposed(x: tuple[int, ...], w: tuple[int, ...], **attributes: Any) -> Case:
    return Case("ConvTranspose", [x], attributes, {1: weight(*w)}, opset=11)


CONVOLUTIONS = [
    conv((2, 4, 5, 6), (3, 4, 1, 1)),
    conv((1, 4, 5, 6), (4, 2, 1, 1), group=2),
    conv((1, 4, 6, 5), (3, 4, 1, 1), strides=[2, 2]),
    conv((1, 4, 5, 6), (3, 4, 1, 1), pads=[1, 0, 2, 1]),
    conv((1, 4, 5, 6), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    conv((1, 4, 5, 6), (4, 1, 3, 2), group=4, pads=[2, 0, 1, 1]),
    conv((1, 4, 7, 6), (4, 1, 3, 3), group=4, pads=[3, 3, 3, 3]),
    conv((1, 4, 9, 8), (4, 1, 3, 3), group=4, pads=[2, 2, 2, 2], dilations=[2, 2]),
    conv((1, 4, 8, 7), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1], strides=[2, 2]),
    conv((1, 4, 8, 7), (8, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    conv((2, 4, 8, 7), (6, 2, 3, 3), group=2, pads=[1, 0, 1, 2], strides=[2, 3]),
    conv((1, 3, 9, 9), (2, 3, 3, 3), dilations=[2, 3], strides=[2, 1], pads=[1, 3, 0, 2]),
    conv((1, 3, 9, 8), (2, 3, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER"),
    conv((1, 3, 9, 8), (2, 3, 3, 4), strides=[2, 2], auto_pad="SAME_LOWER"),
    conv((1, 3, 8, 8), (3, 1, 2, 2), group=3, auto_pad="SAME_UPPER"),
    conv((1, 3, 8, 8), (3, 1, 2, 2), group=3, auto_pad="SAME_LOWER"),
    conv((1, 3, 9, 8), (2, 3, 3, 4), strides=[3, 2], auto_pad="VALID"),
    conv((2, 3, 9), (2, 3, 4), strides=[3], pads=[1, 2]),
    conv((2, 3, 9), (3, 1, 4), group=3, pads=[1, 2]),
    conv((1, 2, 5, 6, 5), (3, 2, 3, 2, 3), strides=[2, 1, 2], pads=[1, 0, 1, 1, 0, 1]),
    Case("Conv", [(2, 3, 5, 5), (4,)], {"pads": [1] * 4}, {1: weight(4, 3, 3, 3)}),
    transposed((1, 4, 5, 6), (4, 3, 2, 2), strides=[2, 2]),
    transposed((1, 4, 5, 6), (4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    transposed(
        (1, 4, 5, 6), (4, 3, 3, 3), strides=[2, 3], pads=[1, 0, 1, 2], output_padding=[1, 2]
    ),
    transposed((1, 4, 5, 6), (4, 3, 3, 3), strides=[1, 2], dilations=[3, 2]),
    transposed((1, 4, 5, 6), (4, 1, 3, 3), strides=[2, 2], group=4, pads=[1] * 4),
    transposed((2, 3, 5), (3, 2, 4), strides=[3]),
    Case("ConvTranspose", [(1, 4, 5, 6), (3,)], {"strides": [2, 2]}, {1: weight(4, 3, 2, 2)}),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(case: Case) -> None:
    check_case(case)


@pytest.mark.parametrize("kind", ["SAME_UPPER", "SAME_LOWER", "NOTSET"])
def test_transposed_convolution_to_a_given_shape(kind: str) -> None:
    """The reference implementation pads the other end than ONNX Runtime."""
    attributes: dict[str, Any] = {"strides": [2, 2], "auto_pad": kind}
    if kind == "NOTSET":
        attributes["output_shape"] = [10, 12]
    case = Case("ConvTranspose", [(1, 4, 5, 6)], attributes, {1: weight(4, 3, 3, 3)}, runtime=True)
    check_case(case)


def test_transposed_convolution_in_groups() -> None:
    """The reference implementation does not cover it."""
    attributes = {"strides": [2, 2], "group": 2, "pads": [1, 0, 1, 1]}
    constants = {1: weight(4, 3, 3, 3)}
    check_case(Case("ConvTranspose", [(1, 4, 5, 6)], attributes, constants, runtime=True))


def gemm(a: tuple[int, int], b: tuple[int, int], c: tuple[int, ...], **attributes: Any) -> Case:
    return Case("Gemm", [a, b, c], attributes)


PRODUCTS = [
    gemm((3, 4), (4, 5), (5,)),
    gemm((4, 3), (5, 4), (3, 1), transA=1, transB=1, alpha=0.5, beta=2.0),
    gemm((3, 4), (5, 4), (), transB=1),
    gemm((4, 3), (4, 5), (3, 5), transA=1),
    Case("Gemm", [(3, 4)], {"transB": 1}, {1: weight(5, 4), 2: weight(5)}, opset=9),
    Case("MatMul", [(3, 4), (4, 5)]),
    Case("MatMul", [(2, 3, 4), (4, 5)]),
    Case("MatMul", [(3, 4), (2, 4, 5)]),
    Case("MatMul", [(2, 1, 3, 4), (5, 4, 2)]),
    Case("MatMul", [(4,), (4, 5)]),
    Case("MatMul", [(4,), (2, 4, 5)]),
    Case("MatMul", [(2, 3, 4), (4,)]),
    Case("MatMul", [(4,), (4,)]),
    Case("MatMul", [(2, 3, 4)], constants={1: weight(4, 5)}),
    Case("Einsum", [(2, 3), (3, 4)], {"equation": "ij, jk -> ik"}),
    Case("Einsum", [(2, 3), (3, 4)], {"equation": "ij,jk"}),
    Case("Einsum", [(2, 3, 4), (2, 5, 4)], {"equation": "bhd,bwd->bhw"}),
    Case("Einsum", [(2, 3), (4, 2)], {"equation": "ij,ki->k"}),
    Case("Einsum", [(2, 3, 4)], {"equation": "abc->cab"}),
    Case("Einsum", [(2, 3), (3, 2), (4, 2)], {"equation": "ij,jk,lk->il"}),
]


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_product(case: Case) -> None:
    check_case(case)
