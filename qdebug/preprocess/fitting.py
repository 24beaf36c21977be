"""Checking that a tensor is what a model's input takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.model_input import ModelInput


def fit_tensor(tensor: NDArray[Any], item: ModelInput, name: str) -> NDArray[Any]:
    """Return the tensor with the input's rank, batch and data type.

    A missing batch axis is added, a single picture is repeated for a fixed batch, and a data type
    is changed where no value changes by more than the target's rounding.

    Args:
        tensor: the values.
        item: the model's input.
        name: the sample's name, for errors.

    Raises:
        InputError: the shape or data type does not fit, or a value is NaN.
    """
    if tensor.ndim == len(item.shape) - 1:
        tensor = tensor[None]
    batch = item.shape[0] if item.shape else None
    if isinstance(batch, int) and batch > 1 and tensor.shape[:1] == (1,):
        tensor = np.repeat(tensor, batch, axis=0)
    _check_shape(tensor, item, name)
    _check_nan(tensor, item, name)
    return _convert(tensor, item, name)


def _check_shape(tensor: NDArray[Any], item: ModelInput, name: str) -> None:
    fits = tensor.ndim == len(item.shape) and all(
        not isinstance(wanted, int) or wanted == side
        for wanted, side in zip(item.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{name} makes a tensor of shape {list(tensor.shape)}, input {item.name!r} takes"
            f" {item.describe()}",
            _shape_hint(tensor.shape, item),
        )


def _shape_hint(shape: tuple[int, ...], item: ModelInput) -> str:
    if len(shape) == 4 and len(item.shape) == 4:
        swapped = {"nchw": (0, 3, 1, 2), "nhwc": (0, 2, 3, 1)}
        for layout, axes in swapped.items():
            permuted = [shape[axis] for axis in axes]
            if all(not isinstance(w, int) or w == s for w, s in zip(item.shape, permuted)):  # noqa: B905
                return f"its axes are in another order: the model wants {layout}"
    if item.size:
        return f"the preprocessing must end in {item.size[0]}x{item.size[1]} (width x height)"
    return "check the preprocessing, or that the file belongs to this input"


def _check_nan(tensor: NDArray[Any], item: ModelInput, name: str) -> None:
    if tensor.dtype.kind != "f":
        return
    bad = np.isnan(tensor)
    if bad.any():
        first = [int(i) for i in np.argwhere(bad)[0]]
        raise InputError(
            f"{name} holds {int(bad.sum())} NaN values for input {item.name!r}, the first at"
            f" {first}",
            "find out what wrote them: a comparison on NaN says nothing",
        )


def _convert(tensor: NDArray[Any], item: ModelInput, name: str) -> NDArray[Any]:
    dtype = np.dtype(item.dtype)
    if tensor.dtype == dtype:
        return np.ascontiguousarray(tensor)
    if dtype.kind == "f" and tensor.dtype.kind in "fiub":
        return np.ascontiguousarray(tensor.astype(dtype))
    with np.errstate(invalid="ignore"):
        converted = tensor.astype(dtype)
    if not np.array_equal(converted, tensor):
        low, high = float(tensor.min()), float(tensor.max())
        raise InputError(
            f"{name} holds {tensor.dtype} values from {low:g} to {high:g}, input {item.name!r}"
            f" takes {dtype.name}",
            f"end the preprocessing in '{dtype.name}', or give a file of {dtype.name}",
        )
    return np.ascontiguousarray(converted)
