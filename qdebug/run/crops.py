"""A few values of the layers that findings name, so that a report can show what happened there.

A crop is a small rectangle of one sample: rows and columns are two axes of the float tensor, the
others stand at one index. ``run.json`` says where it lies, ``crops.npz`` holds the values.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdebug.bounds import check_archive
from qdebug.errors import RunError
from qdebug.npy import ZIP_DAMAGE, array_of_npy
from qdebug.run.files import RunFiles

CROPS_NPZ = "crops.npz"

_MOST_VALUES = 1 << 16
"""Of a run from elsewhere: more than any crop has, and as much as is drawn at once."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Crop:
    """Where the values of a layer that the run keeps by default lie."""

    sample: str
    """Name of the sample they are of."""
    start: tuple[int, ...]
    """First index along every axis of the float tensor."""
    size: tuple[int, ...]
    """Length along every axis; at most two are longer than 1."""

    def channel(self, axis: int | None) -> int | None:
        """The one channel that all values are of; None where they are of several, or of none."""
        if axis is None or axis >= len(self.size) or self.size[axis] > 1:
            return None
        return self.start[axis]

    def rows_are_channels(self, axis: int | None) -> bool | None:
        """Whether channels lie below each other, or (False) beside each other; else None."""
        if axis is None or axis >= len(self.size) or self.size[axis] < 2:
            return None
        return all(length == 1 for length in self.size[:axis])


@dataclass(frozen=True)
class CropValues:
    """The values of a crop, float32 ``[rows, columns]`` each, in the float graph's layout."""

    float: Float32Array
    quant: Float32Array


def crops_to_bytes(crops: Mapping[int, CropValues]) -> bytes:
    """The content of ``crops.npz``, by index of the layer; equal values give equal bytes."""
    buffer = io.BytesIO()
    arrays = {
        f"{side}_{index:04d}": getattr(values, side)
        for index, values in sorted(crops.items())
        for side in ("float", "quant")
    }
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_crop(files: RunFiles, layer: int) -> CropValues:
    """The kept values of a layer.

    Raises:
        RunError: the run has none, or the file is damaged.
    """
    if CROPS_NPZ not in files.names():
        raise RunError(f"the run lacks the kept values of layer {layer}")
    try:
        with zipfile.ZipFile(io.BytesIO(files.read(CROPS_NPZ))) as stored:
            check_archive(stored, CROPS_NPZ, RunError)
            sides = [
                array_of_npy(stored.read(f"{side}_{layer:04d}.npy")) for side in ("float", "quant")
            ]
    except (ValueError, *ZIP_DAMAGE) as error:
        raise RunError(f"{CROPS_NPZ} is damaged: {error}") from error
    one, other = sides
    fit = one.shape == other.shape and one.ndim == 2 and 0 < one.size <= _MOST_VALUES
    if not fit or {one.dtype.kind, other.dtype.kind} != {"f"}:
        raise RunError(f"{CROPS_NPZ} is damaged: its arrays do not fit together")
    return CropValues(np.asarray(one, np.float32), np.asarray(other, np.float32))
