"""Quantization parameters, held against what ONNX Runtime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from qdebug.errors import ModelError
from qdebug.graph.constants import Constants
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import (
    code_range,
    dequantize,
    linear_quantizer,
    make_quantizer,
    qonnx_quantizer,
    quantize,
)
from tests.unit.graph.conftest import Load, build

node = helper.make_node


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int4", -8, 7), ("uint4", 0, 15),
     ("int16", -32768, 32767), ("float8e4m3fn", -448, 448)],
)  # fmt: skip
def test_code_ranges(dtype: str, low: int, high: int) -> None:
    assert code_range(dtype) == (low, high)


def run_pair(values: Any, scale: Any, zero: Any, **attributes: Any) -> list[Any]:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
    ]
    model = build(nodes, {"x": values.shape}, ["q", "y"], {"s": scale, "z": zero})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(["q", "y"], {"x": values}))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([np.int8, np.uint8]), st.integers(0, 127),
    st.floats(2**-10, 8, width=32), st.integers(0, 999),
)  # fmt: skip
def test_codes_and_values_are_those_of_onnx_runtime(
    kind: Any, zero: int, scale: float, seed: int
) -> None:
    step, point = np.float32(scale), kind(zero)
    values = np.random.default_rng(seed).normal(0, 100 * scale, (3, 7)).astype(np.float32)
    values[0, :3] = np.float32(scale) * np.asarray([0.5, 1.5, -2.5], np.float32)
    dtype = np.dtype(kind).name
    quantizer = Quantizer(dtype, step, np.asarray(zero, np.int64), None, *code_range(dtype))
    codes, back = run_pair(values, step, point)
    assert np.array_equal(quantize(values, quantizer), codes)
    assert np.array_equal(dequantize(codes, quantizer), back)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_channel_parameters(load: Load, axis: int) -> None:
    values = np.random.default_rng(0).normal(0, 3, (3, 3)).astype(np.float32)
    given = {"s": np.asarray([0.1, 1, 0.02], np.float32), "z": np.asarray([0, 3, -5], np.int8)}
    quant = node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=axis)
    graph = load([quant, node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=axis)],
                 {"x": [3, 3]}, ["y"], given)  # fmt: skip
    quantizer = linear_quantizer(Constants(graph), graph.nodes[0])
    assert quantizer is not None
    assert quantizer.axis == axis % 2
    codes, back = run_pair(values, given["s"], given["z"], axis=axis)
    assert np.array_equal(quantize(values, quantizer), codes)
    assert np.array_equal(dequantize(codes, quantizer), back)


def test_parameters_computed_while_running_are_none(load: Load) -> None:
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
             node("DequantizeLinear", ["q", "s", "z"], ["y"])]  # fmt: skip
    graph = load(nodes, {"x": [1, 4]}, ["y"])
    assert linear_quantizer(Constants(graph), graph.nodes[1]) is None


def test_absent_zero_points_are_zero(load: Load) -> None:
    nodes = [node("QuantizeLinear", ["x", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["y"])]
    graph = load(nodes, {"x": [1, 4]}, ["y"], {"s": np.float32(0.5)})
    quantizer = linear_quantizer(Constants(graph), graph.nodes[0])
    assert quantizer is not None
    assert (quantizer.dtype, int(quantizer.zero_point)) == ("uint8", 0)
    assert quantizer.real_range == (0.0, 127.5)


def test_not_a_number_has_a_code() -> None:
    quantizer = Quantizer("int8", np.float32(1), np.asarray(0), None, -128, 127)
    codes = quantize(np.asarray([np.nan, np.inf, -np.inf], np.float32), quantizer)
    assert codes.tolist() == [0, 127, -128]


def test_a_zero_point_of_a_type_without_codes_is_none(load: Load) -> None:
    given = {"s": np.float32(0.5), "z": np.float32(0)}
    quant = node("QuantizeLinear", ["x", "s", "z"], ["q"], domain="com.vendor")
    graph = load([quant], {"x": [1, 4]}, ["q"], given)
    assert make_quantizer(Constants(graph), "s", "z", "uint8") is None


@pytest.mark.parametrize(
    ("scales", "zeros"), [([0.5], [0, 0, 0]), ([0.5, 0.5], [0, 0, 0]), ([], []), ([], [0])]
)
def test_parameters_that_do_not_fit_together_are_none(
    load: Load, scales: list[float], zeros: list[int]
) -> None:
    given: dict[str, Any] = {
        "s": np.asarray(scales, np.float32),
        "z": np.asarray(zeros, np.uint8),
    }
    graph = load([node("QuantizeLinear", ["x", "s", "z"], ["q"])], {"x": [1, 4]}, ["q"], given)
    assert linear_quantizer(Constants(graph), graph.nodes[0]) is None
    floats = {"b": np.float32(8), "s": given["s"], "z": given["z"].astype(np.float32)}
    quant = node("Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general")
    graph = load([quant], {"x": [1, 4]}, ["y"], floats)
    assert qonnx_quantizer(Constants(graph), graph.nodes[0]) is None


@pytest.mark.parametrize("width", [[], [8, 8], 0, -3, 1e9, np.nan])
def test_qonnx_widths_that_cannot_be(load: Load, width: Any) -> None:
    given = {"s": np.float32(0.5), "z": np.float32(0), "b": np.asarray(width, np.float32)}
    quant = node("Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general")
    graph = load([quant], {"x": [1, 4]}, ["y"], given)
    assert qonnx_quantizer(Constants(graph), graph.nodes[0]) is None


@pytest.mark.parametrize(
    "attributes",
    [{"scale": 0.0}, {"scale": float("nan")}, {"offset": float("inf")}, {"quant_bit": 10**9},
     {"quant_bit": "8"}, {"scale": "x"}],
)  # fmt: skip
def test_ascend_parameters_that_cannot_be(load: Load, attributes: dict[str, Any]) -> None:
    graph = load([node("AscendQuant", ["x"], ["q"], **attributes)], {"x": [1, 4]}, ["q"])
    assert linear_quantizer(Constants(graph), graph.nodes[0]) is None


@pytest.mark.parametrize("attributes", [{"axis": "x"}, {"axis": [1]}, {"saturate": 1.5}])
def test_quantizers_with_attributes_of_another_type_are_refused(
    load: Load, attributes: dict[str, Any]
) -> None:
    quant = node("QuantizeLinear", ["x", "s"], ["q"], "quant", **attributes)
    with pytest.raises(ModelError, match="is not a valid model: QuantizeLinear 'quant'"):
        load([quant], {"x": [1, 4]}, ["q"], {"s": np.float32(0.5)}, opset=21)


@pytest.mark.parametrize(
    ("signed", "narrow", "bits", "low", "high"),
    [(1, 0, 8, -128, 127), (1, 1, 4, -7, 7), (0, 0, 4, 0, 15), (0, 1, 4, 0, 14)],
)
def test_qonnx_ranges(load: Load, signed: int, narrow: int, bits: int, low: int, high: int) -> None:
    given = {"s": np.float32(0.5), "z": np.float32(0), "b": np.float32(bits)}
    quant = node("Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general",
                 signed=signed, narrow=narrow)  # fmt: skip
    graph = load([quant], {"x": [1, 4]}, ["y"], given)
    quantizer = qonnx_quantizer(Constants(graph), graph.nodes[0])
    assert quantizer is not None
    assert (quantizer.low, quantizer.high) == (low, high)
