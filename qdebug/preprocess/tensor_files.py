"""Reading input tensors from ``.npy``, ``.npz``, raw binary and ONNX ``TensorProto`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qdebug.bounds import check_archive, read_bytes
from qdebug.errors import InputError
from qdebug.npy import ZIP_DAMAGE, array_of_npy, map_npy

_WRITE_AGAIN = "write it again, for instance with numpy.save of an array of numbers"
# What onnx raises on a damaged TensorProto, and zipfile on an archive.
_DAMAGE = (ValueError, TypeError, OverflowError, MemoryError, *ZIP_DAMAGE)
RAW_SUFFIXES = frozenset({".bin", ".raw"})
TENSOR_SUFFIXES = frozenset({".npy", ".npz", ".pb"}) | RAW_SUFFIXES
FileVersion: TypeAlias = tuple[Path, int]
"""A file and when it was last written: what caches are keyed by."""


def version_of(path: Path) -> FileVersion:
    """Return the key under which a file's content may be cached."""
    return path, path.stat().st_mtime_ns


def read_tensors(
    path: Path, shape: Sequence[int] | None = None, dtype: str | None = None
) -> Mapping[str, NDArray[Any]]:
    """Read the tensors of a file by name; the name is empty where the file has none.

    Args:
        path: the file, told apart by its suffix.
        shape: shape of a raw file.
        dtype: data type of a raw file.

    Raises:
        InputError: the file cannot be read, or does not fit the shape and dtype given.
    """
    try:
        tensors = _read(path, shape, dtype)
        _check_numbers(tensors, path.name)
        return tensors
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise InputError(f"{path.name} is damaged or no tensor file", _WRITE_AGAIN) from error


def _check_numbers(tensors: Mapping[str, NDArray[Any]], name: str) -> None:
    for tensor in tensors.values():
        if tensor.dtype.kind not in "fiub" and not _is_small(tensor):
            raise InputError(f"{name} holds {tensor.dtype}, which no model takes", _WRITE_AGAIN)


def _is_small(tensor: NDArray[Any]) -> bool:
    """Whether the values are of a type that NumPy itself lacks: bfloat16, int4, float8."""
    return tensor.dtype.kind == "V" and tensor.dtype.type.__module__ == "ml_dtypes"


def _read(path: Path, shape: Sequence[int] | None, dtype: str | None) -> Mapping[str, NDArray[Any]]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {"": map_npy(path)}
    if suffix == ".npz":
        return _read_archive(version_of(path))
    if suffix == ".pb":
        return _read_proto(path)
    if suffix in RAW_SUFFIXES:
        return {"": _read_raw(path, shape, dtype)}
    raise InputError(
        f"{path.name} has no suffix of a tensor file", "known: .npy, .npz, .bin, .raw, .pb"
    )


@lru_cache(maxsize=1)
def _read_archive(version: FileVersion) -> Mapping[str, NDArray[Any]]:
    """Read an archive once while the rows of its batch are asked for one by one."""
    with zipfile.ZipFile(version[0]) as packed:
        check_archive(packed, version[0].name, InputError)
        return {
            name.removesuffix(".npy"): array_of_npy(packed.read(name)) for name in packed.namelist()
        }


def _read_proto(path: Path) -> Mapping[str, NDArray[Any]]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    proto = onnx.TensorProto()
    try:
        proto.ParseFromString(read_bytes(path, InputError))
    except DecodeError as error:
        raise InputError(f"{path.name} is not an ONNX TensorProto") from error
    if not proto.data_type:
        raise InputError(f"{path.name} is not an ONNX TensorProto")
    return {proto.name: np.asarray(onnx.numpy_helper.to_array(proto))}


def _read_raw(path: Path, shape: Sequence[int] | None, dtype: str | None) -> NDArray[Any]:
    if shape is None or dtype is None:
        raise InputError(
            f"{path.name} is raw and says neither its shape nor its data type",
            "give both, for instance --shape 1,3,640,640 --dtype float32",
        )
    kind = raw_dtype(dtype)
    expected, found = int(np.prod(shape)) * kind.itemsize, path.stat().st_size
    if expected != found:
        by = "x".join(str(side) for side in shape)
        raise InputError(
            f"{path.name} has {found} bytes, {by} of {kind.name} needs {expected}",
            _fitting(found, shape),
        )
    return np.fromfile(path, kind).reshape(tuple(shape))


def raw_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy data type of a name, little-endian.

    Raises:
        InputError: no such data type.
    """
    try:
        kind: np.dtype[Any] = np.dtype(name).newbyteorder("<")
    except TypeError as error:
        raise InputError(
            f"{name!r} is not a data type", "for instance float32, float16, uint8 or int8"
        ) from error
    return kind


def _fitting(found: int, shape: Sequence[int]) -> str:
    """Name the data types with which the shape would fit the file."""
    elements = int(np.prod(shape))
    fitting = [n for n in ("float32", "float16", "uint8", "int8") if _bytes(elements, n) == found]
    if not fitting:
        return "no data type fits this shape: it is cut off, or --shape is another one"
    return f"with this shape it would fit: {', '.join(fitting)}"


def _bytes(elements: int, dtype: str) -> int:
    return elements * np.dtype(dtype).itemsize
