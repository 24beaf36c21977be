"""Ascend and HiSilicon: the AIPP configuration of ``atc``."""

from __future__ import annotations

import re

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Color, Crop, Layout, Resize, Step, Yuv, YuvMatrix, YuvRange
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    is_true,
    require,
    simplified,
)

_KEYS = ("input_format", "aipp_mode", "mean_chn_0", "var_reci_chn_0")
_CHANNELS = range(3)


def read(text: str) -> Reading:
    """Read an ``aipp_op { ... }`` block.

    Formula: ``(x - mean_chn - min_chn) * var_reci_chn``, channel by channel.
    """
    settings = dict(re.findall(r"(\w+)\s*:\s*\"?([\w.+-]+)\"?", text))
    require(settings, _KEYS, "AIPP")
    mean = tuple(_sum(settings, f"mean_chn_{c}", f"min_chn_{c}") for c in _CHANNELS)
    scale = tuple(float(settings.get(f"var_reci_chn_{c}", 1)) for c in _CHANNELS)
    form = settings.get("input_format", "RGB888_U8").upper()
    order, yuv = _colors(settings, form)
    steps: tuple[Step, ...] = (*_geometry(settings), Color("bgr" if order == "bgr" else "rgb"))
    if yuv:
        steps = (*steps, yuv)
    spec = PreprocessSpec((*steps, *affine_steps(mean, scale=scale), Layout("nchw")))
    note = f"AIPP normalizes on the device: feed it {form} as it is, and do not normalize before"
    return Reading(spec, (note,))


def _sum(settings: dict[str, str], *keys: str) -> float:
    return sum(float(settings.get(key, 0)) for key in keys)


def _colors(settings: dict[str, str], form: str) -> tuple[str, Yuv | None]:
    """Derive the order, and the YUV standard from the conversion matrix."""
    swapped = is_true(settings.get("rbuv_swap_switch"))
    if not form.startswith("YUV"):
        order = "bgr" if form.startswith("BGR") else "rgb"
        return ({"rgb": "bgr", "bgr": "rgb"}[order] if swapped else order), None
    rows = [[int(float(settings.get(f"matrix_r{r}c{c}", 0))) for c in _CHANNELS] for r in _CHANNELS]
    order = "bgr" if rows[0][1] > rows[0][2] else "rgb"
    red = max(rows[0][2], rows[2][2])
    span: YuvRange = "limited" if rows[0][0] > 270 else "full"
    matrix: YuvMatrix = "709" if red > (430 if span == "limited" else 380) else "601"
    if swapped:
        order = {"rgb": "bgr", "bgr": "rgb"}[order]
    return order, Yuv((matrix, span), (matrix, span))


def _geometry(settings: dict[str, str]) -> tuple[Step, ...]:
    """Read the resize and the crop; AIPP has no letterbox."""
    steps: list[Step] = []
    if is_true(settings.get("resize")):
        size = int(settings["resize_output_w"]), int(settings["resize_output_h"])
        steps.append(Resize(size))
    if is_true(settings.get("crop")):
        width = int(settings.get("crop_size_w", settings.get("src_image_size_w", 0)))
        height = int(settings.get("crop_size_h", settings.get("src_image_size_h", 0)))
        origin = int(settings.get("load_start_pos_w", 0)), int(settings.get("load_start_pos_h", 0))
        steps.insert(0, Crop((width, height), origin))
    return tuple(steps)


def write(spec: PreprocessSpec) -> str | None:
    """Write an ``aipp_op`` block for packed RGB; the resize is the user's."""
    simple = simplified(spec)
    if simple is None or simple.channels != 3:
        return None
    swap = ["  rbuv_swap_switch: true"] if simple.order == "bgr" else []
    means = [f"  min_chn_{c}: {m:g}" for c, m in enumerate(simple.mean)]
    scales = [f"  var_reci_chn_{c}: {s}" for c, s in enumerate(simple.scales().split(","))]
    head = ["aipp_op {", "  aipp_mode: static", "  input_format: RGB888_U8"]
    return "\n".join([*head, *swap, *means, *scales, "}"])


DIALECT = Dialect("Ascend AIPP configuration", read, write)
