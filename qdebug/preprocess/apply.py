"""Running a preprocessing spec on a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.bounds import check_made
from qdebug.errors import InputError
from qdebug.preprocess.color import reorder, through_yuv, to_gray
from qdebug.preprocess.decode import decode_file
from qdebug.preprocess.geometry import (
    Geometry,
    Wh,
    anchored,
    crop_origin,
    letterbox_box,
    short_side_size,
    unresolved,
)
from qdebug.preprocess.resample import resize
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    Align,
    Cast,
    CenterCrop,
    Color,
    ColorOrder,
    Crop,
    Decode,
    Flip,
    Layout,
    Letterbox,
    Normalize,
    Offset,
    Pad,
    Reinterpret,
    Resize,
    ResizeShort,
    Rotate,
    Scale,
    Step,
    Yuv,
)


@dataclass(frozen=True)
class Frame:
    """A picture on its way: always [height, width, channels]; the layout is carried along."""

    values: NDArray[Any]
    order: ColorOrder
    geometry: Geometry
    library: str
    """The decoding library, whose arithmetic gray conversion follows."""
    layout: Layout

    @property
    def size(self) -> Wh:
        """Width and height."""
        return self.values.shape[1], self.values.shape[0]


@dataclass(frozen=True)
class Prepared:
    """The input tensor made from one picture."""

    tensor: NDArray[Any]
    geometry: Geometry
    order: ColorOrder


def prepare_file(path: Path, spec: PreprocessSpec, name: str | None = None) -> Prepared:
    """Read a picture file and run a spec on it.

    Raises:
        InputError: the file cannot be read, or the spec cannot be carried out on it.
    """
    how = spec.decode
    picture = decode_file(path, how, name)
    return prepare(picture, "rgb" if how.library == "pil" else "bgr", spec)


def prepare(picture: NDArray[Any], order: ColorOrder, spec: PreprocessSpec) -> Prepared:
    """Run a spec on a decoded picture; its ``decode`` step is taken as done.

    Args:
        picture: uint8 [height, width, channels].
        order: channel order of ``picture``.
        spec: the pipeline.

    Returns:
        The tensor in the spec's layout and dtype, and the geometry.

    Raises:
        InputError: a step cannot be carried out.
    """
    height, width = picture.shape[:2]
    geometry = Geometry((width, height), (width, height))
    frame = Frame(picture, order, geometry, spec.decode.library, Layout("nchw"))
    wanted: ColorOrder = "rgb" if spec.decode.library == "pil" else "bgr"
    if order != "gray":
        frame = replace(frame, values=reorder(picture, order, wanted), order=wanted)
    for step in spec.steps:
        frame = _RUN[type(step)](frame, step)
    if spec.find(Cast) is None:
        frame = replace(frame, values=frame.values.astype(np.float32, copy=False))
    return Prepared(arrange(frame.values, frame.layout), frame.geometry, frame.order)


def arrange(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Bring [height, width, channels] into a layout, contiguous."""
    if layout.name in ("nhwc", "hwc"):
        arranged = values
    elif layout.name in ("nchw", "chw"):
        arranged = values.transpose(2, 0, 1)
    else:
        missing = -values.shape[2] % layout.block
        padded = np.pad(values, ((0, 0), (0, 0), (0, missing)))
        blocks = padded.reshape(*values.shape[:2], -1, layout.block)
        arranged = blocks.transpose(2, 0, 1, 3)
    if layout.name[0] == "n":
        arranged = arranged[None]
    return np.ascontiguousarray(arranged)


def unarrange(tensor: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Bring a tensor of one picture back to [height, width, channels]; the inverse of `arrange`."""
    values: NDArray[Any] = tensor[0] if layout.name[0] == "n" else tensor
    if layout.name in ("nchw", "chw"):
        values = values.transpose(1, 2, 0)
    elif layout.name == "nc1hwc2":
        values = values.transpose(1, 2, 0, 3).reshape(values.shape[1], values.shape[2], -1)
    return values


def _color(frame: Frame, step: Color) -> Frame:
    if step.order == "gray":
        values = to_gray(frame.values, frame.order, frame.library, step.channels)
    else:
        values = reorder(frame.values, frame.order, step.order)
    return replace(frame, values=values, order=step.order)


def _check_room(frame: Frame, width: int, height: int, channels: int) -> None:
    """Refuse a step that would make a huge picture, before its memory is taken."""
    size = width * height * channels * frame.values.dtype.itemsize
    check_made(size, f"a picture of {width}x{height} that the pipeline makes", InputError)


def _resize_to(frame: Frame, size: Wh, step: Resize | ResizeShort | Letterbox) -> Frame:
    _check_room(frame, *size, frame.values.shape[2])
    values = resize(np.ascontiguousarray(frame.values), size, step.resampler)
    return replace(frame, values=values, geometry=frame.geometry.resized(size))


def _resize(frame: Frame, step: Resize) -> Frame:
    if step.size is None:
        raise unresolved()
    return _resize_to(frame, step.size, step)


def _resize_short(frame: Frame, step: ResizeShort) -> Frame:
    return _resize_to(frame, short_side_size(frame.size, step), step)


def _place(frame: Frame, canvas: Wh, origin: Wh, value: tuple[float, ...]) -> Frame:
    """Lay the picture at ``origin`` on a canvas of a constant colour."""
    if canvas == frame.size:
        return frame
    channels = frame.values.shape[2]
    if len(value) not in (1, channels):
        raise InputError(f"{len(value)} pad values are given for {channels} channels")
    fractional = any(v != int(v) for v in value)
    dtype = np.float32 if fractional and frame.values.dtype.kind in "iu" else frame.values.dtype
    _check_room(frame, *canvas, channels)
    values = np.empty((canvas[1], canvas[0], channels), dtype)
    values[...] = np.array(value, dtype)
    x, y = origin
    values[y : y + frame.size[1], x : x + frame.size[0]] = frame.values
    return replace(frame, values=values, geometry=frame.geometry.moved(canvas, x, y))


def _letterbox(frame: Frame, step: Letterbox) -> Frame:
    box = letterbox_box(frame.size, step)
    resized = _resize_to(frame, box.size, step)
    return _place(resized, box.canvas, box.origin, step.pad or (0.0,))


def _pad(frame: Frame, step: Pad) -> Frame:
    if step.size is None:
        raise unresolved()
    if frame.size[0] > step.size[0] or frame.size[1] > step.size[1]:
        raise InputError(
            f"a picture of {frame.size[0]}x{frame.size[1]} cannot be padded to"
            f" {step.size[0]}x{step.size[1]}",
            "put 'fit' with the same size before the resize",
        )
    origin = anchored(step.size, frame.size, step.anchor == "center")
    return _place(frame, step.size, origin, step.value)


def _cut(frame: Frame, size: Wh, origin: Wh) -> Frame:
    x, y = origin
    values = frame.values[y : y + size[1], x : x + size[0]]
    return replace(frame, values=values, geometry=frame.geometry.moved(size, -x, -y))


def _center_crop(frame: Frame, step: CenterCrop) -> Frame:
    if step.size is None:
        raise unresolved()
    width, height = step.size
    canvas = (max(width, frame.size[0]), max(height, frame.size[1]))
    origin = ((canvas[0] - frame.size[0]) // 2, (canvas[1] - frame.size[1]) // 2)
    frame = _place(frame, canvas, origin, (0.0,))
    return _cut(frame, step.size, crop_origin(frame.size, step.size, step.rounding))


def _crop(frame: Frame, step: Crop) -> Frame:
    if any(o + s > f for o, s, f in zip(step.origin, step.size, frame.size, strict=True)):
        raise InputError(
            f"a crop of {step.size[0]}x{step.size[1]} at {step.origin[0]},{step.origin[1]}"
            f" leaves the picture of {frame.size[0]}x{frame.size[1]}"
        )
    return _cut(frame, step.size, step.origin)


def _flip(frame: Frame, step: Flip) -> Frame:
    width, height = frame.size
    if step.axis == "horizontal":
        values, geometry = frame.values[:, ::-1], frame.geometry.then(-1, 0, width, 0, 1, 0)
    else:
        values, geometry = frame.values[::-1], frame.geometry.then(1, 0, 0, 0, -1, height)
    return replace(frame, values=values, geometry=geometry)


def _rotate(frame: Frame, step: Rotate) -> Frame:
    values = frame.values
    geometry = frame.geometry
    for _ in range(step.degrees // 90):
        height = values.shape[0]
        values = np.rot90(values, -1)
        turned = geometry.then(0, -1, height, 1, 0, 0)
        geometry = replace(turned, target=(height, geometry.target[0]))
    return replace(frame, values=values, geometry=geometry)


def _yuv(frame: Frame, step: Yuv) -> Frame:
    if frame.values.dtype != np.uint8 or frame.order == "gray":
        raise InputError("a YUV round trip needs a colour picture of 8 bits at this point")
    rgb = through_yuv(reorder(frame.values, frame.order, "rgb"), step)
    return replace(frame, values=reorder(rgb, "rgb", frame.order))


def _floating(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype.kind == "f" else values.astype(np.float32)


def _scale(frame: Frame, step: Scale) -> Frame:
    values = _floating(frame.values)
    factor = values.dtype.type(step.value)
    return replace(frame, values=values / factor if step.divide else values * factor)


def _normalize(frame: Frame, step: Normalize) -> Frame:
    values = _floating(frame.values)
    channels = values.shape[2]
    for numbers in (step.mean, step.std):
        if len(numbers) not in (1, channels):
            raise InputError(
                f"the normalization has {len(numbers)} values, the picture {channels} channels"
            )
    mean, std = np.array(step.mean, values.dtype), np.array(step.std, values.dtype)
    centered = values - mean
    return replace(frame, values=centered * std if step.multiply else centered / std)


def _offset(frame: Frame, step: Offset) -> Frame:
    exact = frame.values if frame.values.dtype.kind == "f" else frame.values.astype(np.int32)
    return replace(frame, values=exact + exact.dtype.type(step.value))


def _cast(frame: Frame, step: Cast) -> Frame:
    dtype = np.dtype(step.dtype)
    values = frame.values
    if values.dtype == dtype:
        return frame
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(_floating(values)), limits.min, limits.max)
    return replace(frame, values=values.astype(dtype))


def _reinterpret(frame: Frame, step: Reinterpret) -> Frame:
    if frame.values.dtype.itemsize != 1:
        raise InputError("'reinterpret' needs 8-bit values; put 'uint8' or 'int8' before it")
    return replace(frame, values=np.ascontiguousarray(frame.values).view(step.dtype))


def _layout(frame: Frame, step: Layout) -> Frame:
    if step.block:
        channels = frame.values.shape[2]
        _check_room(frame, *frame.size, channels + -channels % step.block)
    return replace(frame, layout=step)


def _align(frame: Frame, step: Align) -> Frame:
    axis = ("height", "width", "channel").index(step.axis)
    widths = [(0, 0)] * 3
    widths[axis] = (0, -frame.values.shape[axis] % step.multiple)
    height, width, channels = np.add(frame.values.shape, [more for _, more in widths]).tolist()
    _check_room(frame, width, height, channels)
    values = np.pad(frame.values, widths, constant_values=step.value)
    return replace(frame, values=values)


_RUN: dict[type[Step], Callable[[Frame, Any], Frame]] = {
    Decode: lambda frame, _: frame,
    Color: _color,
    Resize: _resize,
    ResizeShort: _resize_short,
    Letterbox: _letterbox,
    Pad: _pad,
    CenterCrop: _center_crop,
    Crop: _crop,
    Flip: _flip,
    Rotate: _rotate,
    Yuv: _yuv,
    Scale: _scale,
    Normalize: _normalize,
    Offset: _offset,
    Cast: _cast,
    Reinterpret: _reinterpret,
    Layout: _layout,
    Align: _align,
}
