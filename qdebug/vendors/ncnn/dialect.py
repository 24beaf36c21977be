"""ncnn: the options of ``ncnn2table``."""

from __future__ import annotations

from qdebug.errors import InputError
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Color, Layout, Resize, Step
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    numbers_of,
    pairs,
    require,
    simplified,
)

_KEYS = ("mean", "norm", "shape", "pixel")
_PIXELS = {
    "BGR": Color("bgr"),
    "RGB": Color("rgb"),
    "GRAY": Color("gray", 1),
    "RGBA": Color("rgb"),
    "BGRA": Color("bgr"),
}
_COPIED = (104.0, 117.0, 123.0)


def read(text: str) -> Reading:
    """Read ``mean=[..] norm=[..] shape=[w,h,c] pixel=BGR``."""
    settings = pairs(text)
    require(settings, _KEYS, "ncnn2table")
    pixel = settings.get("pixel", "BGR").upper()
    if pixel not in _PIXELS:
        raise InputError(
            f"pixel={pixel} is not known to ncnn2table", f"one of: {', '.join(_PIXELS)}"
        )
    steps: list[Step] = []
    notes = ["ncnn2table stretches the picture with its own bilinear filter, near cv2 linear"]
    shape = numbers_of(settings, "shape")
    if shape and len(shape) >= 2:
        steps.append(Resize((int(shape[0]), int(shape[1]))))
    else:
        steps.append(Resize(None))
    mean, norm = numbers_of(settings, "mean"), numbers_of(settings, "norm")
    steps += [_PIXELS[pixel], *affine_steps(mean, scale=norm or (1.0,)), Layout("nchw")]
    if mean == _COPIED:
        notes.append(
            "mean 104,117,123 with norm 0.017 and BGR is the example for Caffe's models: right for"
            " those, and often copied for models that want RGB / 255"
        )
    return Reading(PreprocessSpec(tuple(steps)), tuple(notes))


def write(spec: PreprocessSpec) -> str | None:
    """Write the options of ``ncnn2table``; it can only stretch."""
    simple = simplified(spec)
    if simple is None or simple.stretch is None:
        return None
    width, height = simple.stretch
    return (
        f"mean=[{simple.means()}] norm=[{simple.scales()}]"
        f" shape=[{width},{height},{simple.channels}] pixel={simple.order.upper()}"
    )


DIALECT = Dialect("ncnn2table options", read, write)
