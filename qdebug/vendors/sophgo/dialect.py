"""Sophgo: the ``cali_image_preprocess`` string of ``ufw.cali``."""

from __future__ import annotations

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Color, Layout, Resize, Scale, Step
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    is_true,
    numbers_of,
    pairs,
    require,
    simplified,
)

_KEYS = ("resize_h", "resize_w", "scale", "bgr2rgb", "mean_value", "mean")


def read(text: str) -> Reading:
    """Read ``resize_h=640,resize_w=640;scale=0.003921569,bgr2rgb=True``."""
    settings = pairs(text, r"[\s;,]")
    require(settings, _KEYS, "cali_image_preprocess")
    height, width = numbers_of(settings, "resize_h"), numbers_of(settings, "resize_w")
    size = (int(width[0]), int(height[0])) if width and height else None
    mean = numbers_of(settings, "mean_value", "mean")
    scale = numbers_of(settings, "scale") or (1.0,)
    arithmetic: tuple[Step, ...] = affine_steps(mean, scale=scale)
    if mean is None and len(scale) == 1 and scale != (1.0,):
        arithmetic = (Scale(scale[0]),)
    color = Color("rgb" if is_true(settings.get("bgr2rgb")) else "bgr")
    spec = PreprocessSpec((Resize(size), color, *arithmetic, Layout("nchw")))
    note = (
        "this string can only stretch: a model trained with letterbox is calibrated on other shapes"
    )
    return Reading(spec, (note,))


def write(spec: PreprocessSpec) -> str | None:
    """Write the string; it can only stretch, with one scale for all channels."""
    simple = simplified(spec)
    if simple is None or simple.stretch is None or len(set(simple.std)) > 1:
        return None
    width, height = simple.stretch
    mean = f",mean_value={simple.means(':')}" if any(simple.mean) else ""
    scale = simple.scales().split(",")[0]
    return f"resize_h={height},resize_w={width};scale={scale}{mean},bgr2rgb={simple.order == 'rgb'}"


DIALECT = Dialect("Sophgo cali_image_preprocess", read, write)
