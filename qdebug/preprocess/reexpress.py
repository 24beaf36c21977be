"""Saying a finished float input again in the quant model's terms.

A tensor file has been preprocessed for the float model. Where the quant graph wants another
layout, data type or range, the file's values are taken back to pixels and forward again, so that
both models see the same picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import UsageError
from qdebug.preprocess.apply import prepare, unarrange
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Decode, Geometric, Layout

_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def reexpress(
    tensor: NDArray[Any],
    made_by: PreprocessSpec | None,
    wanted: PreprocessSpec | None,
    item: ModelInput,
    goal: ModelInput,
) -> NDArray[Any]:
    """Convert an input of the float model into the quant model's.

    Args:
        tensor: one input of the float model.
        made_by: the pipeline of the float side.
        wanted: the pipeline of the quant side.
        item: the float model's input.
        goal: the quant model's input.

    Raises:
        UsageError: the two pipelines move pixels differently, which no conversion can undo.
    """
    if made_by is None or wanted is None or made_by == wanted or item.layout is None:
        return _permuted(tensor, item, goal)
    if made_by.geometry != wanted.geometry:
        raise UsageError(
            "the quant side has another geometry than the float side, and a tensor file cannot"
            " be resized again",
            "give the pictures instead of tensor files",
        )
    values = unarrange(tensor, made_by.find(Layout) or Layout("nchw")).astype(np.float32)
    affine = made_by.affine
    pixels = (values[..., : len(affine.gain)] - affine.offset) / affine.gain
    rest = tuple(s for s in wanted.steps if not isinstance(s, Geometric | Decode))
    library = Decode(wanted.decode.library)
    remaining = PreprocessSpec((library, *rest))
    return prepare(pixels.astype(np.float32), made_by.order, remaining).tensor


def _permuted(tensor: NDArray[Any], item: ModelInput, goal: ModelInput) -> NDArray[Any]:
    """Swap NCHW and NHWC where the two models differ in it."""
    if item.layout == goal.layout or not (item.layout and goal.layout):
        return tensor
    axes = _TO_CHANNELS_LAST if goal.layout == "nhwc" else _TO_CHANNELS_FIRST
    return np.ascontiguousarray(tensor.transpose(axes))
