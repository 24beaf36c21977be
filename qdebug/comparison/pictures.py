"""Small pictures of what the models were fed, for reports and the terminal browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.preprocess import (
    PreprocessSpec,
    Sample,
    picture_of_tensor,
    picture_of_values,
    prepare_file,
    thumbnail,
)

Array = npt.NDArray[Any]

MAX_PICTURES = 16
"""Samples of which pictures are kept: enough to look at, small enough for a ticket."""
_SOURCE_SPEC = PreprocessSpec.parse("rgb | uint8 | nhwc")


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of a uint8 ``[height, width, 3]`` RGB picture."""
    import cv2

    # As it stands, OpenCV takes one filter for all rows and looks for runs only: of photos that is
    # within 5 % of the smallest, in half of Pillow's time, and other threads go on meanwhile.
    return bytes(cv2.imencode(".png", picture[..., ::-1])[1])


def input_picture(tensor: Array, spec: PreprocessSpec | None) -> npt.NDArray[np.uint8] | None:
    """What an input tensor shows: by its pipeline where that is known, else stretched."""
    shown = None
    if spec is not None and tensor.ndim == 4:
        shown = picture_of_tensor(tensor[:1], spec)
    elif tensor.ndim == 4:
        shown = picture_of_values(tensor[:1])
    return None if shown is None else thumbnail(shown)


def source_picture(sample: Sample) -> npt.NDArray[np.uint8] | None:
    """The sample's source picture, made small; None for tensor files."""
    if sample.picture is None:
        return None
    return thumbnail(prepare_file(sample.picture, _SOURCE_SPEC).tensor[0])
