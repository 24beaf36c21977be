"""Reading the one tensor that was really fed: to the device, or in calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.tensor_files import RAW_SUFFIXES, raw_dtype, read_tensors

_RAW_DTYPES = ("float32", "uint8", "float16")
_RANK_OF_BATCH = 4
_FEWEST = 64
_LARGEST = 1e9
"""Beyond what any normalization makes of a pixel: bytes read with the wrong data type."""


def read_fed(
    path: Path,
    shape: Sequence[int] | None = None,
    dtype: str | None = None,
    *,
    item: ModelInput | None = None,
    size: Wh | None = None,
) -> NDArray[Any]:
    """Read one picture's tensor from a file.

    Raw bytes without a shape stay flat: recovery finds the layout. Their data type is, where not
    given, the one with which they hold just one picture of the expected size.

    Args:
        path: ``.npy``, ``.npz``, ``.pb``, ``.bin`` or ``.raw``.
        shape: shape of raw bytes.
        dtype: data type of raw bytes.
        item: the model's input, whose name picks a tensor of an archive.
        size: (width, height) of the picture, if known.

    Raises:
        InputError: the file is missing or damaged, holds several tensors or pictures, or values
            that are no numbers.
    """
    if not path.is_file():
        reason = "is a folder, not a tensor file" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {reason}", "give the file of the tensor that was fed")
    if path.suffix.lower() in RAW_SUFFIXES and shape is None:
        dtype = dtype or _raw_dtype(path.stat().st_size, item, size)
        shape = (path.stat().st_size // raw_dtype(dtype).itemsize,)
    tensors = read_tensors(path, shape, dtype)
    name = item.name if item and item.name in tensors else None
    if name is None and len(tensors) != 1:
        raise InputError(
            f"{path.name} holds {len(tensors)} tensors, one is needed",
            f"save one alone; its keys are: {', '.join(list(tensors)[:8])}" if tensors else None,
        )
    tensor = tensors[name] if name else next(iter(tensors.values()))
    least = size[0] * size[1] if size and tensor.ndim == 1 else _FEWEST
    if 0 < tensor.size < least:
        by = f"{size[0]}x{size[1]}" if size else "any size"
        raise InputError(
            f"{path.name} holds {tensor.size} values, too few for a picture of {by}",
            "check that this is the input, and --dtype of raw bytes",
        )
    return _checked(tensor, path.name)


def _raw_dtype(count: int, item: ModelInput | None, size: Wh | None) -> str:
    """Return the data type with which raw bytes are one picture; the model's own comes first."""
    own = item.dtype if item else _RAW_DTYPES[0]
    if size is None:
        return own
    values = size[0] * size[1] * ((item.channels if item else None) or 3)
    fitting = (n for n in (own, *_RAW_DTYPES) if values * raw_dtype(n).itemsize == count)
    return next(fitting, own)


def _checked(tensor: NDArray[Any], name: str) -> NDArray[Any]:
    if tensor.dtype.kind not in "fiub" or not tensor.size:
        raise InputError(
            f"{name} holds {tensor.dtype} {list(tensor.shape)}, which is no picture's tensor",
            "give numbers, for instance float32 [1, 3, 640, 640]",
        )
    if tensor.ndim == _RANK_OF_BATCH and tensor.shape[0] > 1:
        raise InputError(
            f"{name} holds a batch of {tensor.shape[0]}, one picture is needed",
            "save one alone, for instance numpy.save('one.npy', batch[:1])",
        )
    if tensor.dtype.kind == "f":
        _check_values(tensor, name)
    return tensor


def _check_values(tensor: NDArray[Any], name: str) -> None:
    bad = int(tensor.size - np.count_nonzero(np.isfinite(tensor)))
    if bad:
        raise InputError(
            f"{name} holds {bad} values that are NaN or infinite",
            "find out what wrote them; with raw bytes, check --dtype",
        )
    largest = float(np.abs(tensor).max())
    if largest > _LARGEST:
        raise InputError(
            f"{name} holds values up to {largest:.3g}, which no picture gives",
            "check --dtype and --shape: these look like bytes of another data type",
        )
