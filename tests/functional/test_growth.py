"""Work that grows with the network, and not with its square: counted, not timed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.functional.conftest import Cli


def _heads(outputs: int, quant: bool) -> onnx.ModelProto:
    """One tensor that so many Convs read, each an output; quantized where it enters."""
    rng = np.random.default_rng(0)
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Relu", ["x_d" if quant else "x"], ["r"], "relu")]
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4, 1, 1)).astype(np.float32), f"w{at}")
        for at in range(outputs)
    ]
    if quant:
        weights += [
            numpy_helper.from_array(np.float32(0.02), "s"),
            numpy_helper.from_array(np.int8(0), "z"),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"], "q"),
            helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_d"], "dq"),
            *nodes,
        ]
    nodes += [
        helper.make_node("Conv", ["r", f"w{at}"], [f"y{at}"], f"conv{at}") for at in range(outputs)
    ]
    ends = [info(f"y{at}", TensorProto.FLOAT, [1, 4, 4, 4]) for at in range(outputs)]
    start = [info("x", TensorProto.FLOAT, [1, 4, 4, 4])]
    graph = helper.make_graph(nodes, "heads", start, ends, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _calls(cli: Cli, folder: Path, outputs: int) -> int:
    """Python functions that a comparison of two networks calls."""
    folder.mkdir()
    for name, quant in (("float", False), ("quant", True)):
        onnx.save(_heads(outputs, quant), folder / f"{name}.onnx")
    value = np.random.default_rng(1).standard_normal((1, 4, 4, 4)).astype(np.float32)
    np.save(folder / "x.npy", value)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    files = [str(folder / name) for name in ("float.onnx", "quant.onnx", "x.npy")]
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        done = cli("compare", *files, "-q", "-o", str(folder / "r.qdrun"))
    finally:
        sys.setprofile(before)
    assert done.code == 0, done.err
    return calls


def test_outputs(cli: Cli, tmp_path: Path) -> None:
    _calls(cli, tmp_path / "first", 5)  # imports and compilations
    few, some, many = (_calls(cli, tmp_path / str(count), count) for count in (40, 80, 160))
    assert many - some <= 2.2 * (some - few)
