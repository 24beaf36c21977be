"""Memory and time where the weights lie in files of their own.

    python -m benchmarks.external [--gigabytes 2.3] [--cap 256MiB]

A chain of MatMul and Relu whose float weights fill one file; its twin holds them as int8 codes with
a scale for each column. Resident memory counts the pages of mapped files, which the system takes
back when it needs them; *own* memory is the rest.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
SIDE = 4096
"""Rows and columns of a weight: 64 MiB."""
_ROWS = 4
_POLL_S = 0.01


@dataclass(frozen=True)
class Peak:
    """What a process needed: MiB resident and of its own, and seconds."""

    resident: float
    own: float
    seconds: float


def write_pair(folder: Path, count: int, side: int = SIDE) -> list[str]:
    """Write ``float.onnx`` and ``quant.onnx``, their weights beside them, and ``x.npy``.

    Args:
        folder: to write into.
        count: layers.
        side: rows and columns of each weight.
    """
    rng = np.random.default_rng(0)
    value = rng.standard_normal((_ROWS, side), np.float32)
    np.save(folder / "x.npy", value)
    twin = _Twin()
    twin.quantize("x", "x", value)
    nodes: list[onnx.NodeProto] = []
    outside: list[onnx.TensorProto] = []
    with (folder / "float.bin").open("wb") as reals, (folder / "quant.bin").open("wb") as codes:
        for at in range(count):
            weight = rng.standard_normal((side, side), np.float32) * np.float32((2 / side) ** 0.5)
            outside.append(_append(reals, f"w{at}", weight, TensorProto.FLOAT))
            source = f"y{at}" if at else "x"
            nodes += _layer(source, f"w{at}", at)
            value = np.maximum(value @ weight, 0)
            twin.add_layer(codes, at, weight)
            twin.quantize(f"y{at + 1}", f"y{at + 1}", value)
    _save(folder / "float.onnx", nodes, outside, f"y{count}", side)
    _save(folder / "quant.onnx", twin.nodes, twin.constants, f"y{count}_DQ", side)
    return [str(folder / name) for name in ("float.onnx", "quant.onnx", "x.npy")]


def _layer(source: str, weight: str, at: int) -> list[onnx.NodeProto]:
    product = helper.make_node("MatMul", [source, weight], [f"m{at + 1}"], f"matmul{at}")
    return [product, helper.make_node("Relu", [f"m{at + 1}"], [f"y{at + 1}"], f"relu{at}")]


class _Twin:
    """The quantized chain, layer by layer."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add_layer(self, file: BinaryIO, at: int, weight: Any) -> None:
        scale = np.abs(weight).max(0) / np.float32(127)
        codes = np.rint(weight / scale).astype(np.int8)
        self.constants.append(_append(file, f"w{at}_q", codes, TensorProto.INT8))
        names = self._parameters(f"w{at}", scale, np.zeros(len(scale), np.int8))
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"w{at}_q", *names], [f"w{at}_DQ"], axis=1)
        )
        self.nodes += _layer(f"y{at}_DQ" if at else "x_DQ", f"w{at}_DQ", at)

    def quantize(self, tensor: str, stem: str, value: Any) -> None:
        scale = np.float32(np.abs(value).max() / 127)
        names = self._parameters(stem, scale, np.int8(0))
        for op, source, end in (("Quantize", tensor, "_Q"), ("Dequantize", f"{stem}_Q", "_DQ")):
            self.nodes.append(helper.make_node(f"{op}Linear", [source, *names], [stem + end]))

    def _parameters(self, stem: str, scale: Any, zero: Any) -> list[str]:
        names = [f"{stem}_scale", f"{stem}_zero_point"]
        for name, value in zip(names, (scale, zero), strict=True):
            self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return names


def _append(file: BinaryIO, name: str, value: Any, kind: int) -> onnx.TensorProto:
    """Write a tensor's values to the end of a file; gives the tensor that names them."""
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=value.shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": value.nbytes}
    for key, text in place.items():
        tensor.external_data.add(key=key, value=str(text))
    value.tofile(file)
    file.flush()
    return tensor


def _save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    output: str,
    side: int,
) -> None:
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_ROWS, side])
        for name in ("x", output)
    )
    graph = helper.make_graph(nodes, "outside", [x], [y], constants)
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )


def measured(command: Sequence[str], folder: Path) -> Peak:
    """Run a command to its end and watch its memory."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    resident = own = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        except OSError:
            break
        resident = max(resident, _mib(status, "VmHWM"))
        own = max(own, _mib(status, "RssAnon"))
        time.sleep(_POLL_S)
    if process.wait() not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Peak(resident, own, time.monotonic() - started)


def _mib(status: str, field: str) -> float:
    found = re.search(rf"{field}:\s*(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def compare_command(files: Sequence[str], cap: str) -> list[str]:
    """The comparison, in one process, so that it can be watched."""
    command = [sys.executable, "-m", "qdebug", "compare", *files, "-q", "--no-isolate"]
    return [*command, "--max-memory", cap, "-o", "run.qdrun"]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.3)
    parser.add_argument("--cap", default="256MiB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_pair(folder, max(1, round(args.gigabytes * 1e9 / (4 * SIDE**2))))
        sizes = [(folder / f"{side}.bin").stat().st_size / 2**20 for side in ("float", "quant")]
        peak = measured(compare_command(files, args.cap), folder)
    print("| float MiB | quant MiB | cap | resident MiB | own MiB | s |\n|---|---|---|---|---|---|")
    print(
        f"| {sizes[0]:.0f} | {sizes[1]:.0f} | {args.cap} | {peak.resident:.0f} | {peak.own:.0f} | "
        f"{peak.seconds:.0f} |"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
