"""Quantization operators of vendors in ONNX graphs, written out as Q and DQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.errors import ModelError
from qdebug.vendors.ascend import deployed
from qdebug.vendors.openvino import fake_quantize
from qdebug.vendors.quant_model import read_graph
from tests.support.running import run_tensors

Array = npt.NDArray[Any]
X = np.linspace(-1, 1.2, 2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
WEIGHT = np.asarray([[[[3]], [[-5]]], [[[100]], [[7]]], [[[0]], [[-128]]]], np.int8)
BIAS = np.asarray([11, -7, 0], np.int32)
FACTORS = np.asarray([0.001, 0.0002, 0.0005], np.float32)
PACKED = FACTORS.view(np.uint32).astype(np.uint64)


def model(nodes: list[onnx.NodeProto], constants: dict[str, Any], opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("org.openvinotoolkit", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def deploy(factors: Array = PACKED, opset: int = 11, **changed: Any) -> onnx.ModelProto:
    """AscendQuant, a Conv of codes, AscendDequant."""
    attributes = {"scale": 100.0, "offset": -14, "quant_bit": 8, **changed}
    nodes = [
        helper.make_node("AscendQuant", ["x"], ["c"], "quant", **attributes),
        helper.make_node("Conv", ["c", "w", "b"], ["s"], "conv"),
        helper.make_node("AscendDequant", ["s", "f"], ["y"], "dequant"),
    ]
    return model(nodes, {"w": WEIGHT, "b": BIAS, "f": factors}, opset)


@pytest.mark.parametrize("opset", [11, 13])
def test_ascend_s_codes_and_sums_are_what_its_kernels_compute(opset: int) -> None:
    made = run_tensors(deployed.expand(deploy(opset=opset), Path()), {"x": X}, ["y"])["y"]
    codes = np.clip(np.rint(X.astype(np.float64) * 100) - 14, -128, 127) + 14
    sums = np.einsum("oi,bihw->bohw", WEIGHT[:, :, 0, 0], codes) + BIAS.reshape(1, 3, 1, 1)
    assert made == pytest.approx(sums * FACTORS.reshape(1, 3, 1, 1), abs=1e-5)


def test_an_ascend_graph_is_a_quant_model(tmp_path: Path) -> None:
    path = tmp_path / "deploy_model.onnx"
    path.write_bytes(deploy().SerializeToString())
    made = read_graph(path)
    assert made.info is not None
    assert (made.info.form, made.info.toolchain) == ("Ascend AMCT deploy model", "ascend")
    held = {item.name: item for item in made.graph.proto.graph.initializer}
    assert "f" not in held
    assert held["w"].data_type == TensorProto.INT8


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"quant_bit": 4}, "AscendQuant 'quant' quantizes to 4 bits"),
        ({"scale": 0.0}, "with 0 codes a unit"),
        ({"factors": FACTORS}, "has no stored factors"),
        ({"factors": np.full(3, (1 << 32) + 5, np.uint64)}, "shifts its sums"),
        ({"factors": np.zeros(3, np.uint64)}, "a factor that is not above zero"),
    ],
)
def test_what_ascend_s_graph_does_besides_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        deployed.expand(deploy(**changed), Path())


def test_a_sum_of_real_numbers_is_no_sum_of_codes() -> None:
    odd = deploy()
    odd.graph.node[1].input[0] = "x"
    with pytest.raises(ModelError, match="'conv', whose input has no codes"):
        deployed.expand(odd, Path())


def fake(levels: int = 256, opset: int = 13, **ends: Any) -> onnx.ModelProto:
    low, high = ends.get("low", -1.28), ends.get("high", 1.27)
    values = {"il": low, "ih": high, "ol": ends.get("out", low), "oh": high}
    node = helper.make_node(
        "FakeQuantize", ["x", *values], ["y"], "fq", domain="org.openvinotoolkit", levels=levels
    )
    arrays = {name: np.asarray(value, np.float32) for name, value in values.items()}
    return model([node], arrays, opset)


def reference(x: Array, low: Array, high: Array, levels: int) -> Array:
    """OpenVINO's formula."""
    step = (high - low) / (levels - 1)
    return np.rint((np.clip(x, low, high) - low) / step) * step + low


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (-1.28, 1.27, 256),
        (0.0, 2.55, 256),
        (-1.27, 1.27, 255),
        (-0.5, 0.775, 256),
        (-1.0, 32767 / 32768, 65536),
    ],
)
def test_a_fake_quantize_is_codes_and_back(
    low: float, high: float, levels: int, opset: int
) -> None:
    expanded = fake_quantize.expand(fake(levels, opset, low=low, high=high), Path())
    made = run_tensors(expanded, {"x": X}, ["y"])["y"]
    wanted = reference(X.astype(np.float64), np.float64(low), np.float64(high), levels)
    step = (high - low) / (levels - 1)
    away = np.abs(made - wanted)
    # A value between two codes may go to the other one where float32 rounds it so.
    assert away.max() <= step * 1.001
    assert np.mean(away > step / 2) <= 0.1


def test_a_range_a_channel_has_its_axis() -> None:
    low = np.asarray([-0.64, -1.28]).reshape(1, 2, 1, 1)
    high = np.asarray([0.635, 1.27]).reshape(1, 2, 1, 1)
    expanded = fake_quantize.expand(fake(low=low, high=high), Path())
    made = run_tensors(expanded, {"x": X}, ["y"])["y"]
    assert made == pytest.approx(reference(X.astype(np.float64), low, high, 256), abs=1e-2)
    assert np.unique(made[:, 0]).min() == pytest.approx(-0.64)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"levels": 16}, "has 16 levels"),
        ({"high": -1.28}, "has an empty range"),
        ({"low": 0.3, "out": 0.3}, "has a range in which zero is no code"),
        ({"out": -1.0}, "writes another range than it reads"),
    ],
)
def test_what_codes_cannot_say_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=f"FakeQuantize 'fq' {told}"):
        fake_quantize.expand(fake(**changed), Path())
