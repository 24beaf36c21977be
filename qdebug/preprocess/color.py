"""Colour conversions of uint8 pictures, as cv2 and Pillow compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.steps import ColorOrder, Yuv, YuvMatrix, YuvRange

_LUMA: dict[YuvMatrix, tuple[float, float]] = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}


def reorder(picture: NDArray[Any], current: ColorOrder, wanted: ColorOrder) -> NDArray[Any]:
    """Reverse the channels where RGB and BGR differ; gray stays."""
    if {current, wanted} == {"rgb", "bgr"}:
        return picture[..., ::-1]
    return picture


def to_gray(picture: NDArray[Any], order: ColorOrder, library: str, channels: int) -> NDArray[Any]:
    """Reduce to luma with the decoding library's own arithmetic; one channel or three equal."""
    if order == "gray":
        gray = picture[..., 0]
    elif picture.dtype != np.uint8:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        gray = picture @ (weights if order == "rgb" else weights[::-1])
    elif library == "pil":
        gray = _pil_gray(picture, order)
    else:
        gray = _cv2_gray(picture, order)
    return np.repeat(gray[..., None], channels, axis=2)


def _cv2_gray(picture: NDArray[np.uint8], order: ColorOrder) -> NDArray[Any]:
    import cv2

    code = cv2.COLOR_RGB2GRAY if order == "rgb" else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), code))


def _pil_gray(picture: NDArray[np.uint8], order: ColorOrder) -> NDArray[Any]:
    from PIL import Image

    rgb = np.ascontiguousarray(reorder(picture, order, "rgb"))
    return np.asarray(Image.fromarray(rgb).convert("L"))


def through_yuv(rgb: NDArray[np.uint8], step: Yuv) -> NDArray[np.uint8]:
    """Write a picture [height, width, 3] to 8-bit YUV and read it back, as ``step`` says."""
    yuv = np.rint(_to_yuv(rgb.astype(np.float32), *step.written))
    if step.subsampled:
        yuv[..., 1:] = _halve_chroma(yuv[..., 1:])
    codes = np.clip(yuv, 0, 255)
    return np.clip(np.rint(_to_rgb(codes, *step.read)), 0, 255).astype(np.uint8)


def _halve_chroma(chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average 2 x 2 pixels and repeat them, as NV12 stores them."""
    height, width = chroma.shape[:2]
    even = np.pad(chroma, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 2)
    small = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32))
    full: NDArray[np.float32] = small.repeat(2, axis=0).repeat(2, axis=1)
    return full[:height, :width]


def _to_yuv(rgb: NDArray[np.float32], matrix: YuvMatrix, span: YuvRange) -> NDArray[np.float32]:
    """Formula: ITU-R BT.601 and BT.709, 8 bits."""
    kr, kb = _LUMA[matrix]
    luma_gain, chroma_gain, black = _range(span)
    y = kr * rgb[..., 0] + (1 - kr - kb) * rgb[..., 1] + kb * rgb[..., 2]
    u = (rgb[..., 2] - y) / (2 * (1 - kb)) * chroma_gain + 128
    v = (rgb[..., 0] - y) / (2 * (1 - kr)) * chroma_gain + 128
    return np.stack([y * luma_gain + black, u, v], axis=-1).astype(np.float32)


def _to_rgb(yuv: NDArray[np.float32], matrix: YuvMatrix, span: YuvRange) -> NDArray[np.float32]:
    kr, kb = _LUMA[matrix]
    luma_gain, chroma_gain, black = _range(span)
    y = (yuv[..., 0] - black) / luma_gain
    blue = y + (yuv[..., 1] - 128) / chroma_gain * 2 * (1 - kb)
    red = y + (yuv[..., 2] - 128) / chroma_gain * 2 * (1 - kr)
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], axis=-1).astype(np.float32)


def _range(span: YuvRange) -> tuple[float, float, float]:
    """Return luma gain, chroma gain and black level of a range."""
    return (219 / 255, 224 / 255, 16.0) if span == "limited" else (1.0, 1.0, 0.0)
