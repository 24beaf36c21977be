"""Dumps of a board, made from the simulation of a sample model, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.apply import prepare_file
from tests.support.running import run_tensors

Array = npt.NDArray[Any]
Dump = dict[str, Array]
_QUANTIZE = ("QuantizeLinear", "DequantizeLinear")


def simulated(float_model: Path, quant_model: Path, picture: Path, spec: str) -> Dump:
    """Every tensor of the float model as the quantized model's plain run has it."""
    fed = prepare_file(picture, PreprocessSpec.parse(spec)).tensor
    return run_both(float_model, quant_model, fed)


def run_both(float_model: Path, quant_model: Path, fed: Array) -> Dump:
    """The same for a tensor.

    A tensor that the quantized model quantizes is taken as its readers see it, as toolchains dump
    it: what stands before is not yet clipped to the activation that its grid stands for.
    """
    quant = onnx.load(str(quant_model))
    nodes = onnx.load(str(float_model)).graph.node
    known = {name for node in nodes if node.op_type != "Constant" for name in node.output}
    made = [name for node in quant.graph.node for name in node.output if name in known]
    quantized = {n.input[0]: n.output[0] for n in quant.graph.node if n.op_type in _QUANTIZE}
    read = {name: quantized.get(quantized.get(name, ""), name) for name in made}
    fed_name = quant.graph.input[0].name
    ran = run_tensors(quant, {fed_name: fed}, set(read.values()))
    return {fed_name: fed, **{name: ran[place] for name, place in read.items()}}


def channels_last(dump: Mapping[str, Array]) -> Dump:
    return {n: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for n, v in dump.items()}


def blocked(value: Array, block: int = 16) -> Array:
    """NC1HWC0."""
    n, c, h, w = value.shape
    padded = np.pad(value, ((0, 0), (0, -c % block), (0, 0), (0, 0)))
    return np.ascontiguousarray(padded.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2))


def padded_rows(value: Array, to: int) -> Array:
    """Rows of a buffer aligned to so many values."""
    return np.asarray(np.pad(value, ((0, 0), (0, 0), (0, 0), (0, -value.shape[3] % to))))


def codes(value: Array, scale: float, zero_point: int, dtype: str) -> Array:
    limits = np.iinfo(dtype)
    found = np.rint(value / scale) + zero_point
    return np.asarray(np.clip(found, limits.min, limits.max), dtype)


def changed(dump: Mapping[str, Array], name: str, change: Callable[[Array], Array]) -> Dump:
    """One tensor changed."""
    return {n: change(v) if n == name else v for n, v in dump.items()}


def write_npz(dump: Mapping[str, Array], file: Path) -> Path:
    with file.open("wb") as stream:
        np.savez(stream, **dump)  # type: ignore[arg-type]
    return file


def write_files(dump: Mapping[str, Array], folder: Path, suffix: str) -> Path:
    """One file a tensor, its name made a file name as QNN and RKNN do."""
    folder.mkdir()
    for name, value in dump.items():
        plain = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
        file = folder / f"{plain}{suffix}"
        if suffix == ".npy":
            np.save(file, value)
        elif suffix == ".txt":
            np.savetxt(file, value.reshape(-1), fmt="%.6f")
        else:
            file.write_bytes(np.ascontiguousarray(value, np.float32).tobytes())
    return folder
