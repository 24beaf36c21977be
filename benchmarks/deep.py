"""A network of thousands of small layers: what a layer costs, whatever its size.

    python -m benchmarks.deep [--blocks 1267]

A block is a 1x1 Conv, a Relu, a 3x3 Conv and a sum (every eighth time a Tanh), quantized at every
tensor as ONNX Runtime's quantizer does. The comparison has one sample and a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
SHAPE = (1, 8, 8, 8)
CHANNELS = SHAPE[1]
_SCRIPT = """
import json, os, sys
from pathlib import Path
from benchmarks.worker import Stages
from qdebug.comparison.compare import compare, peak_rss_mib
stages = Stages()
run = compare(*sys.argv[1:4], output=Path(sys.argv[4]), progress=stages)
stages.stage("end")
used = os.times()
print(json.dumps({
    "layers": len(run.layers),
    "processor": used.user + used.system,
    "peak_mib": peak_rss_mib(),
    "stages": stages.seconds,
}))
"""


def network(blocks: int) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """Nodes and weights of the float network, which reads ``x``."""
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}

    def add(op: str, number: int, *inputs: str, **attributes: Any) -> str:
        output = f"/{number}/{op}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    last = "x"
    for at in range(blocks):
        for name, size, share in ((f"{at}.narrow", 1, 1.0), (f"{at}.wide", 3, 0.3)):
            scale = share / np.sqrt(CHANNELS * size * size)
            weights[name] = rng.normal(0, scale, (CHANNELS, CHANNELS, size, size))
        weights[f"{at}.bias"] = rng.normal(0, 0.1, CHANNELS)
        inner = add("Relu", at, add("Conv", at, last, f"{at}.narrow", f"{at}.bias"))
        inner = add("Conv", at, inner, f"{at}.wide", pads=[1] * 4)
        last = add("Tanh", at, inner) if at % 8 == 7 else add("Add", at, inner, last)
    return nodes, {name: value.astype(np.float32) for name, value in weights.items()}


def model(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, Array], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The nodes as a model, of which each output has the input's shape."""
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def quantized(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, Array], values: dict[str, Array]
) -> onnx.ModelProto:
    """The twin: uint8 at every tensor by its own range, int8 weights with a scale a channel."""
    made: list[onnx.NodeProto] = []
    constants: dict[str, Array] = {}
    read: dict[str, str] = {}

    def dequantize(codes: str, scale: Array, zero: Array, of: str, **axis: Any) -> None:
        constants[f"{of}_scale"], constants[f"{of}_zero_point"] = scale, zero
        inputs = [codes, f"{of}_scale", f"{of}_zero_point"]
        read[of] = f"{of}_DequantizeLinear_Output"
        made.append(helper.make_node("DequantizeLinear", inputs, [read[of]], read[of], **axis))

    def quantize(tensor: str) -> None:
        low, high = min(0.0, values[tensor].min()), max(0.0, values[tensor].max())
        scale = np.float32(max((high - low) / 255, 1e-6))
        codes, zero = f"{tensor}_QuantizeLinear_Output", np.uint8(round(-low / scale))
        inputs = [tensor, f"{tensor}_scale", f"{tensor}_zero_point"]
        made.append(helper.make_node("QuantizeLinear", inputs, [codes], codes))
        dequantize(codes, np.asarray(scale), np.asarray(zero), tensor)

    for name, value in weights.items():
        if value.ndim < 2:
            constants[name] = value
            continue
        scale = np.abs(value).max(axis=(1, 2, 3)) / 127
        constants[f"{name}_quantized"] = np.rint(value / scale[:, None, None, None]).astype(np.int8)
        dequantize(f"{name}_quantized", scale, np.zeros(CHANNELS, np.int8), name, axis=0)
    quantize("x")
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [read.get(name, name) for name in node.input]
        made.append(copy)
        quantize(node.output[0])
    return model(made, constants, [read[nodes[-1].output[0]]])


def write(blocks: int, folder: Path) -> list[Path]:
    """Float model, quantized model and input of so many blocks."""
    files = [folder / name for name in ("float.onnx", "quant.onnx", "x.npy")]
    nodes, weights = network(blocks)
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    names = [node.output[0] for node in nodes]
    onnx.save(model(nodes, weights, names[-1:]), str(files[0]))
    np.save(files[2], x)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model(nodes, weights, names).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    values = dict(zip(names, session.run(None, {"x": x}), strict=True))
    onnx.save(quantized(nodes, weights, {**values, "x": x}), str(files[1]))
    return files


def main() -> None:
    """Print what comparing costs, by stage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deep")
    parser.add_argument("--blocks", type=int, default=1267)
    blocks = parser.parse_args().blocks
    with tempfile.TemporaryDirectory() as folder:
        files = [*map(str, write(blocks, Path(folder))), f"{folder}/deep.qdrun"]
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *files],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    seconds = {name: round(value, 1) for name, value in found["stages"].items()}
    print(f"{found['layers']} layers: {sum(seconds.values()):.1f} s, {seconds}")
    print(f"processor time {found['processor']:.1f} s, peak {found['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
