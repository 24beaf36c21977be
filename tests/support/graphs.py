"""A tiny convolutional classifier and its QDQ twin, built node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = dict[str, npt.NDArray[np.float32]]

SIDE = 16
SPEC = f"resize {SIDE}x{SIDE} | rgb | /255 | nchw"
"""Preprocessing for pictures of any size."""

_NODES: tuple[tuple[str, str, tuple[str, ...], str, dict[str, Any]], ...] = (
    ("conv1", "Conv", ("images", "w1", "b1"), "t1", {"pads": [1, 1, 1, 1]}),
    ("relu1", "Relu", ("t1",), "t2", {}),
    ("conv2", "Conv", ("t2", "w2", "b2"), "t3", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("relu2", "Relu", ("t3",), "t4", {}),
    ("pool", "GlobalAveragePool", ("t4",), "t5", {}),
    ("flatten", "Flatten", ("t5",), "t6", {}),
    ("fc", "Gemm", ("t6", "w3", "b3"), "scores", {"transB": 1}),
)
_RANGES = {"images": 1.0, "t2": 2.0, "t4": 2.0, "t5": 1.0}
"""Upper ends of the quantized activations; all begin at zero."""


def weights(seed: int = 0) -> Weights:
    """Weights of the network, a little different for each seed."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,)}
    shapes |= {"w3": (4, 8), "b3": (4,)}
    return {
        name: (rng.normal(0.0, 0.3, shape)).astype(np.float32) for name, shape in shapes.items()
    }


def float_model(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """The float network: ``images`` [1, 3, SIDE, SIDE] to ``scores`` [1, 4]."""
    nodes = [
        helper.make_node(op, inputs, [output], name=name, **attributes)
        for name, op, inputs, output, attributes in _NODES
    ]
    return _model(nodes, weights(seed), opset)


def qdq_model(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """Its twin with uint8 activations and int8 weights, one scale per tensor."""
    made: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    for name, value in weights(seed).items():
        if name.startswith("b"):
            constants[name] = value
            continue
        scale = np.float32(np.abs(value).max() / 127)
        constants[f"{name}_q"] = np.round(value / scale).astype(np.int8)
        constants |= {f"{name}_s": scale, f"{name}_z": np.int8(0)}
        parts = [f"{name}_q", f"{name}_s", f"{name}_z"]
        made.append(helper.make_node("DequantizeLinear", parts, [f"{name}_dq"], name=f"{name}_DQ"))
        renamed[name] = f"{name}_dq"
    for tensor in ("images", *(node[3] for node in _NODES)):
        node = next((node for node in _NODES if node[3] == tensor), None)
        if node is not None:
            name, op, inputs, output, attributes = node
            inputs = tuple(renamed.get(i, i) for i in inputs)
            made.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        if tensor in _RANGES:
            constants |= {f"{tensor}_s": np.float32(_RANGES[tensor] / 255)}
            constants |= {f"{tensor}_z": np.uint8(0)}
            made += _pair(tensor)
            renamed[tensor] = f"{tensor}_dq"
    return _model(made, constants, opset)


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Write ``float.onnx`` and ``quant.onnx``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "float.onnx", folder / "quant.onnx"
    for file, model in zip(files, (float_model(), qdq_model()), strict=True):
        file.write_bytes(model.SerializeToString())
    return files


def _pair(tensor: str) -> list[onnx.NodeProto]:
    scale, zero = f"{tensor}_s", f"{tensor}_z"
    return [
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [f"{tensor}_q"], f"{tensor}_Q"),
        helper.make_node(
            "DequantizeLinear", [f"{tensor}_q", scale, zero], [f"{tensor}_dq"], f"{tensor}_DQ"
        ),
    ]


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any], opset: int
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model
