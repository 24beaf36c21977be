"""The entries of a calibration set: tensors as toolchains dump them, or pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.arguments import natural_key
from qdebug.preprocess.calibration_set.datum import DATABASE, read_lmdb
from qdebug.preprocess.decode import IMAGE_SUFFIXES
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.tensor_files import RAW_SUFFIXES, TENSOR_SUFFIXES, raw_dtype, read_tensors

Array = NDArray[Any]
_RAW = RAW_SUFFIXES | {".f32"}
_SUFFIXES = TENSOR_SUFFIXES | {".f32"}
_BATCHED = 4


@dataclass(frozen=True)
class Entry:
    """One picture of a calibration set.

    Attributes:
        name: of the file, or of the record in it.
        tensor: what calibration fed, without a batch of more than one; None for a picture file.
        picture: the picture's file; None for a tensor.
    """

    name: str
    tensor: Array | None = None
    picture: Path | None = None


def read_set(path: Path, item: ModelInput | None = None) -> list[Entry]:
    """Read a calibration set.

    Args:
        path: a folder of ``.npy`` (Horizon dumps ``FOLDER/INPUT/0.npy``), ``.npz``, raw files or
            pictures, one such file, or an LMDB of Datum records.
        item: the model's input: its name picks a folder or the array of an archive, its shape and
            data type make tensors of raw bytes.

    Raises:
        InputError: nothing there can be read.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist", "give the folder of the calibration set")
    if (path / DATABASE).is_file() or path.name == DATABASE:
        folder = path if path.is_dir() else path.parent
        found = [Entry(name, tensor) for name, tensor in read_lmdb(folder)]
    else:
        files = [path] if path.is_file() else _files(path, item)
        found = [entry for file in files for entry in _of_file(file, item)]
    if not found:
        raise InputError(
            f"{path} holds no calibration set",
            "known are .npy, .npz, .bin, .raw, .f32, pictures, and an LMDB of Datum records",
        )
    return found


def _files(folder: Path, item: ModelInput | None) -> list[Path]:
    """Files of a folder in natural order; of the input's own folder where there is one."""
    inner = [p for p in sorted(folder.iterdir()) if p.is_dir()]
    own = [p for p in inner if item is not None and p.name == item.name]
    known = [p for p in folder.iterdir() if p.is_file() and _is_known(p)]
    if not known and (own or len(inner) == 1):
        return _files((own or inner)[0], item)
    if not known and inner and any(_is_known(p) for p in folder.rglob("*")):
        known = [p for p in folder.rglob("*") if p.is_file() and _is_known(p)]
    return sorted(known, key=natural_key)


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES | IMAGE_SUFFIXES


def _of_file(path: Path, item: ModelInput | None) -> Iterator[Entry]:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        yield Entry(path.name, picture=path)
        return
    if suffix in _RAW:
        yield from _rows(path.name, _raw(path, item))
        return
    arrays = read_tensors(path)
    if suffix == ".npz" and item is not None and item.name in arrays:
        arrays = {"": arrays[item.name]}
    for key, array in arrays.items():
        yield from _rows(f"{path.name}[{key}]" if key else path.name, np.asarray(array))


def _rows(name: str, array: Array) -> Iterator[Entry]:
    """One entry a row of a batch."""
    if array.dtype.kind not in "fiub" or not array.size:
        raise InputError(f"{name} holds {array.dtype} {list(array.shape)}, which is no tensor")
    if array.ndim == _BATCHED and array.shape[0] > 1:
        for row in range(array.shape[0]):
            yield Entry(f"{name}[{row}]", array[row : row + 1])
    else:
        yield Entry(name, array)


def _raw(path: Path, item: ModelInput | None) -> Array:
    """Read raw bytes as the model's input, or as the same shape in another data type."""
    shape = item.concrete_shape if item is not None else None
    if item is None or shape is None:
        raise InputError(
            f"{path.name} is raw and says neither its shape nor its data type",
            "give the float model with --float: its input tells both",
        )
    size, count = path.stat().st_size, int(np.prod(shape))
    names = ("float32",) if path.suffix.lower() == ".f32" else (item.dtype, "float32", "uint8")
    for name in names:
        kind = raw_dtype(name)
        if count and size % (count * kind.itemsize) == 0 and size:
            rows = size // (count * kind.itemsize)
            return np.fromfile(path, kind).reshape(shape[0] * rows, *shape[1:])
    raise InputError(
        f"{path.name} has {size} bytes, no whole number of {'x'.join(map(str, shape))} {item.dtype}"
    )
