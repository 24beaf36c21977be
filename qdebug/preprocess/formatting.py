"""Writing one step of a preprocessing spec as canonical text; `grammar` reads it back."""

from __future__ import annotations

from functools import singledispatch

from qdebug.preprocess.numbers import format_factor, format_number, format_numbers
from qdebug.preprocess.steps import (
    Align,
    Cast,
    CenterCrop,
    Color,
    Crop,
    Decode,
    Flip,
    Layout,
    Letterbox,
    Normalize,
    Offset,
    Pad,
    Reinterpret,
    Resampler,
    Resize,
    ResizeShort,
    Rotate,
    Scale,
    Size,
    Step,
    Yuv,
)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _size(size: Size) -> str:
    if size is None:
        return "model"
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _resampler(resampler: Resampler) -> str:
    return f"{resampler.library} {resampler.filter}"


def _unless_default(text: str, default: str) -> str:
    return "" if text == default else text


@singledispatch
def format_step(step: Step) -> str:
    """Write one step as canonical text."""
    raise TypeError(f"no text form for {type(step).__name__}")


@format_step.register
def _(step: Decode) -> str:
    return f"decode {step.library} exif {'apply' if step.exif else 'ignore'}"


@format_step.register
def _(step: Color) -> str:
    return f"gray {step.channels}" if step.channels == 3 else step.order


@format_step.register
def _(step: Resize) -> str:
    size = "model" if step.size is None else f"{step.size[0]}x{step.size[1]}"
    return f"resize {size} {_resampler(step.resampler)}"


@format_step.register
def _(step: ResizeShort) -> str:
    rounding = _unless_default(step.rounding, "floor")
    return _join("resize", str(step.side), _resampler(step.resampler), rounding)


@format_step.register
def _(step: Letterbox) -> str:
    return _join(
        "fit" if step.pad is None else "letterbox",
        _size(step.size),
        "" if step.pad is None else f"pad {format_numbers(step.pad)}",
        _unless_default(_resampler(step.resampler), "cv2 linear"),
        _unless_default(step.anchor, "center"),
        _unless_default(step.rounding, "round"),
        "" if step.upscale else "no-upscale",
        f"stride {step.stride}" if step.stride else "",
    )


@format_step.register
def _(step: Pad) -> str:
    anchor = _unless_default(step.anchor, "center")
    return _join("pad", _size(step.size), f"value {format_numbers(step.value)}", anchor)


@format_step.register
def _(step: CenterCrop) -> str:
    return _join("center-crop", _size(step.size), _unless_default(step.rounding, "round"))


@format_step.register
def _(step: Crop) -> str:
    origin = _unless_default(f"at {step.origin[0]},{step.origin[1]}", "at 0,0")
    return _join("crop", _size(step.size), origin)


@format_step.register
def _(step: Flip) -> str:
    return f"flip {step.axis}"


@format_step.register
def _(step: Rotate) -> str:
    return f"rotate {step.degrees}"


@format_step.register
def _(step: Yuv) -> str:
    name = "nv12" if step.subsampled else "yuv444"
    read = "" if step.read == step.written else f"read {step.read[0]} {step.read[1]}"
    return _join(name, *step.written, read)


@format_step.register
def _(step: Scale) -> str:
    if step.divide:
        return f"/{format_number(step.value)}"
    return f"scale {format_factor(step.value)}"


@format_step.register
def _(step: Normalize) -> str:
    no_mean = step.mean == (0.0,)
    if step.multiply:
        if no_mean and len(step.std) > 1:
            return f"scale {format_numbers(step.std)}"
        return f"mean {format_numbers(step.mean)} scale {format_numbers(step.std)}"
    if no_mean:
        return f"std {format_numbers(step.std)}"
    std = "" if step.std == (1.0,) else f"std {format_numbers(step.std)}"
    return _join(f"mean {format_numbers(step.mean)}", std)


@format_step.register
def _(step: Offset) -> str:
    return f"offset {step.value}"


@format_step.register
def _(step: Cast) -> str:
    return step.dtype


@format_step.register
def _(step: Reinterpret) -> str:
    return f"reinterpret {step.dtype}"


@format_step.register
def _(step: Layout) -> str:
    return f"{step.name} {step.block}" if step.block else step.name


@format_step.register
def _(step: Align) -> str:
    value = "" if step.value == 0 else f"value {format_number(step.value)}"
    return _join("align", step.axis, str(step.multiple), value)
