"""The ways in which the bytes of a fed tensor may be a picture: layouts, alignment, strides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.steps import Align, Layout

Values = NDArray[Any]

_CHANNELS = (3, 1)
_STRIDE_MULTIPLES = (16, 32, 64, 128, 256)  # what devices align rows to
_LONGEST_SHEAR = 64
"""Pixels of padding at any other alignment. By judgement, for time; of 8, "sheared rows" of
`benchmarks.preprocess` is not named."""
_LAG_SAMPLES, _LIKELY = 10000, 4
"""Values compared with the one a row further, and strides that are then looked at. By judgement."""


@dataclass(frozen=True)
class View:
    """One reading of the fed bytes as [height, width, channels]."""

    values: Values
    """NaN where the bytes are lost."""
    layout: Layout
    agrees: bool
    """Whether the tensor's own shape says the same."""
    words: str
    """What this reading means, for people."""
    aligned: tuple[Align, ...] = ()
    slug: str | None = None
    """The finding if the shape says otherwise."""


def agreeing_views(fed: Values, size: Wh | None) -> list[View]:
    """Read the tensor as its shape says, or in each way where it has no shape of a picture.

    Args:
        fed: the tensor, with or without a batch axis of 1.
        size: (width, height) that the reference has, if known.
    """
    body = fed[0] if fed.ndim > 1 and fed.shape[0] == 1 else fed
    if body.ndim == 4:
        return list(_blocked(body, size))
    if body.ndim == 3:
        return list(_labelled(body, size))
    return list(_flat(fed.reshape(-1), size)) if size else []


def _labelled(body: Values, size: Wh | None) -> Iterator[View]:
    for axis, layout in ((0, "nchw"), (2, "nhwc")):
        if body.shape[axis] not in (1, 3, 4):
            continue
        values = body.transpose(1, 2, 0) if axis == 0 else body
        yield _trimmed(values, Layout("nchw" if layout == "nchw" else "nhwc"), size)


def _trimmed(values: Values, layout: Layout, size: Wh | None) -> View:
    """Cut alignment padding off and say how much there was."""
    aligned = []
    height, width, channels = values.shape
    if channels == 4:
        aligned.append(Align("channel", 4))
    if size and width > size[0] and height >= size[1]:
        aligned.append(Align("width", alignment(size[0], width)))
    if size and height > size[1] and width >= size[0]:
        aligned.append(Align("height", alignment(size[1], height)))
    cut = (size[0], size[1]) if aligned and size else (width, height)
    words = (
        f"{layout.name.upper()}, {_strides(values.shape, cut)}" if aligned else layout.name.upper()
    )
    inner = values[: cut[1], : cut[0], : min(channels, 3)]
    return View(inner, layout, True, words, tuple(aligned))


def _strides(shape: tuple[int, ...], cut: Wh) -> str:
    return (
        f"stored {shape[1]}x{shape[0]}x{shape[2]} for {cut[0]}x{cut[1]} (width x height x channels)"
    )


def alignment(side: int, padded: int) -> int:
    """Return the multiple to which ``side`` was padded: a power of two, else the stride itself."""
    multiple = padded & -padded
    while multiple > 1:
        if side + -side % multiple == padded:
            return multiple
        multiple //= 2
    return padded


def _blocked(body: Values, size: Wh | None) -> Iterator[View]:
    """Read [C1, H, W, C2] blocks."""
    blocks, height, width, block = body.shape
    values = body.transpose(1, 2, 0, 3).reshape(height, width, blocks * block)
    view = _trimmed(values[..., :3], Layout("nc1hwc2", block), size)
    yield View(view.values, view.layout, True, f"NC1HWC2 with blocks of {block}", view.aligned)


def _flat(flat: Values, size: Wh) -> Iterator[View]:
    """Read bytes without a shape in every layout and alignment that fits their number."""
    width, height = size
    for channels in (*_CHANNELS, 4):
        stride, rest = divmod(flat.size, height * channels)
        if rest or stride < width:
            continue
        planar = flat.reshape(channels, height, stride).transpose(1, 2, 0)
        yield _trimmed(planar, Layout("nchw"), size)
        yield _trimmed(flat.reshape(height, stride, channels), Layout("nhwc"), size)
    for block in (16, 32, 8):
        if flat.size == width * height * block:
            yield from _blocked(flat.reshape(1, height, width, block), size)


def contradicting_views(fed: Values, size: Wh) -> Iterator[View]:
    """Read the bytes otherwise than the tensor's shape says.

    Args:
        fed: the tensor.
        size: (width, height) of its picture.
    """
    flat = fed.reshape(-1)
    width, height = size
    count = width * height * 3
    if flat.size == count:
        planar = fed.ndim >= 3 and fed.shape[-3] == 3
        if planar:
            words = "NHWC bytes under an NCHW shape"
            yield View(flat.reshape(height, width, 3), Layout("nhwc"), False, words, (), "layout")
            turned = flat.reshape(3, width, height).transpose(2, 1, 0)
            words = "NCWH: width and height are exchanged"
            yield View(turned, Layout("nchw"), False, words, (), "layout")
        else:
            words = "NCHW bytes under an NHWC shape"
            chw = flat.reshape(3, height, width).transpose(1, 2, 0)
            yield View(chw, Layout("nchw"), False, words, (), "layout")


def sheared_views(fed: Values, size: Wh) -> Iterator[View]:
    """Read rows of another length than the shape says: padded rows taken for contiguous ones."""
    flat = fed.reshape(-1).astype(np.float32)
    width = size[0]
    wider = {width + extra for extra in range(1, _LONGEST_SHEAR + 1)}
    wider |= {width + -width % m for m in _STRIDE_MULTIPLES} - {width}
    for stride, interleaved in _likely_strides(flat, sorted(wider)):
        rows = _rows(flat, size, stride, interleaved)
        words = f"rows of {stride} pixels read as rows of {width}"
        align = (Align("width", alignment(width, stride)),)
        name = Layout("nhwc" if interleaved else "nchw")
        yield View(rows, name, False, words, align, "row-stride")


def _likely_strides(flat: Values, strides: list[int]) -> list[tuple[int, bool]]:
    """Return the strides at which a value resembles the one a row further best."""
    starts = np.random.default_rng(0).integers(0, flat.size // 2, _LAG_SAMPLES)
    gaps = {}
    for stride in strides:
        for interleaved in (False, True):
            lag = stride * (3 if interleaved else 1)
            if lag < flat.size // 2:
                gap = np.abs(flat[starts] - flat[starts + lag])
                gaps[stride, interleaved] = float(gap.mean())
    return sorted(gaps, key=gaps.__getitem__)[:_LIKELY]


def _rows(flat: Values, size: Wh, stride: int, interleaved: bool) -> Values:
    """Cut rows of ``stride`` pixels out of a stream whose tail is lost."""
    width, height = size
    full = np.full(height * stride * 3, np.nan, np.float32)
    full[: min(flat.size, full.size)] = flat[: full.size]
    if interleaved:
        return full.reshape(height, stride, 3)[:, :width]
    planes: Values = full.reshape(3, height, stride).transpose(1, 2, 0)
    return planes[:, :width]
