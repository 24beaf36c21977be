"""LiteRT: the tensors of a ``.tflite``, run here through its Python wheel.

Every tensor is kept (``experimental_preserve_all_tensors``) and the default delegate is off, whose
fused operators would not show theirs. Quantized tensors are codes; scale and zero point stand in
the file. Maps are NHWC.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.dumps import Dump, DumpTensor
from qdebug.errors import InputError, UsageError
from qdebug.vendors.dumps import DumpFormat

Array = npt.NDArray[Any]

_MAGIC = b"TFL3"
_HINT = "give a .tflite that LiteRT runs, with the inputs of the models"


def _recognize(path: Path) -> bool:
    if path.suffix.lower() != ".tflite" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(8)[4:] == _MAGIC


def _run(path: Path, fed: Mapping[str, Array], folder: Path) -> Dump:
    """Run the model and keep every tensor as a file of a folder.

    Raises:
        InputError: it cannot be loaded, or takes something else.
        UsageError: the wheel is not installed.
    """
    interpreter = _interpreter(path)
    try:
        interpreter.allocate_tensors()
        _feed(interpreter, fed, path)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"--board: LiteRT cannot run {path.name}: {told}", _HINT) from error
    tensors = []
    for details in interpreter.get_tensor_details():
        value = _value(interpreter, details)
        if value is None:
            continue
        file = folder / f"{details['index']:05d}.npy"
        np.save(file, value)
        scale, zero_point = details["quantization"]
        tensors.append(
            DumpTensor(
                str(details["name"]),
                partial(_read, file),
                scale=float(scale) if scale else None,
                zero_point=int(zero_point),
            )
        )
    unique = {tensor.name: tensor for tensor in tensors}
    return Dump(path.name, "LiteRT, run here", tuple(unique.values()), (r";.*$", r":\d+$"))


def _interpreter(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise UsageError(
            f"--board: {path.name} is run by LiteRT, which is not installed",
            "pip install 'qdebug[litert]'",
        ) from error
    try:
        return Interpreter(
            str(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"--board: LiteRT cannot load {path.name}: {told}", _HINT) from error


def _feed(interpreter: Any, fed: Mapping[str, Array], path: Path) -> None:
    inputs = interpreter.get_input_details()
    if len(inputs) != len(fed):
        raise InputError(
            f"--board: {path.name} has {len(inputs)} inputs, the models have {len(fed)}",
            "convert the same network",
        )
    for details, value in zip(inputs, fed.values(), strict=True):
        interpreter.set_tensor(details["index"], _fitted(value, details, path))


def _fitted(value: Array, details: Mapping[str, Any], path: Path) -> Array:
    """What is fed in the model's own layout and type.

    Raises:
        InputError: it has another shape.
    """
    shape = tuple(details["shape"])
    if value.shape != shape and value.ndim == len(shape) == 4:
        value = value.transpose(0, 2, 3, 1)
    if value.shape != shape:
        told = "x".join(map(str, shape))
        raise InputError(f"--board: {path.name} takes {told}, the models something else", _HINT)
    dtype = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    if dtype.kind in "iu" and scale and value.dtype.kind == "f":
        limits = np.iinfo(dtype)
        value = np.clip(np.rint(value / scale) + zero_point, limits.min, limits.max)
    return np.ascontiguousarray(value, dtype)


def _value(interpreter: Any, details: Mapping[str, Any]) -> Array | None:
    """A tensor's value; None of those that hold no numbers, or are not filled."""
    if np.dtype(details["dtype"]).kind not in "fiu" or not details["name"]:
        return None
    try:
        value = np.asarray(interpreter.get_tensor(details["index"]))
    except ValueError:  # a temporary that was never allocated
        return None
    return value.copy() if value.size else None


def _read(file: Path) -> Array:
    return np.asarray(np.load(file, mmap_mode="r"))


DUMPS = DumpFormat(_recognize, run=_run)
