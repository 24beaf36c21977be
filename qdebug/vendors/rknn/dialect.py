"""RKNN-Toolkit2: the arguments of ``rknn.config``."""

from __future__ import annotations

import re

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Cast, Color, Layout
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    is_true,
    numbers_of,
    require,
    simplified,
)

_KEYS = ("mean_values", "std_values", "quant_img_RGB2BGR", "reorder_channel", "channel_mean_value")


def read(text: str) -> Reading:
    """Read ``config(mean_values=[[..]], std_values=[[..]], quant_img_RGB2BGR=..)``."""
    settings = dict(re.findall(r"(\w+)\s*=\s*(\[\[.*?\]\]|\[.*?\]|'[^']*'|\"[^\"]*\"|\w+)", text))
    require(settings, _KEYS, "RKNN")
    mean, std = numbers_of(settings, "mean_values"), numbers_of(settings, "std_values")
    legacy = numbers_of(settings, "channel_mean_value")
    if legacy and len(legacy) == 4:
        mean, std = legacy[:3], legacy[3:]
    reordered = settings.get("reorder_channel", "").strip("'\"").startswith("2")
    order = "bgr" if is_true(settings.get("quant_img_RGB2BGR")) or reordered else "rgb"
    color = Color("bgr" if order == "bgr" else "rgb")
    spec = PreprocessSpec((color, *affine_steps(mean, std), Layout("nchw")))
    notes = (
        "RKNN reads calibration pictures as RGB without a letterbox: make them in the model's size",
        "quant_img_RGB2BGR holds for calibration only; at runtime feed the model's own order",
    )
    runtime = PreprocessSpec((color, Cast("uint8"), Layout("nhwc")))
    return Reading(spec, notes, runtime)


def write(spec: PreprocessSpec) -> str | None:
    """Write the arguments of ``rknn.config``; the geometry is the user's."""
    simple = simplified(spec)
    if simple is None or simple.channels != 3:
        return None
    swap = ", quant_img_RGB2BGR=True" if simple.order == "bgr" else ""
    return f"rknn.config(mean_values=[[{simple.means()}]], std_values=[[{simple.stds()}]]{swap})"


DIALECT = Dialect("RKNN-Toolkit2 config", read, write)
