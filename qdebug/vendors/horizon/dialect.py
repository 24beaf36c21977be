"""Horizon and D-Robotics: the ``input_parameters`` of ``hb_mapper``'s yaml."""

from __future__ import annotations

from qdebug.errors import InputError
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Cast, Color, Layout, Offset, Resize, Step, Yuv
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    flat_yaml,
    numbers_of,
    require,
    simplified,
)

_KEYS = ("input_type_train", "input_type_rt", "norm_type")
_NORMS = ("no_preprocess", "data_mean", "data_scale", "data_mean_and_scale")


def read(text: str) -> Reading:
    """Read ``input_type_train``, ``input_type_rt``, ``norm_type``, mean, scale and layouts.

    The converter puts mean and scale into the graph: the float model is fed with them applied,
    the device without.
    """
    settings = flat_yaml(text)
    require(settings, _KEYS, "Horizon")
    norm = settings.get("norm_type", "no_preprocess")
    if norm not in _NORMS:
        raise InputError(f"norm_type {norm!r} is not known", f"one of: {', '.join(_NORMS)}")
    mean = numbers_of(settings, "mean_value") if "mean" in norm else None
    scale = numbers_of(settings, "scale_value") if "scale" in norm else None
    train = settings.get("input_type_train", "rgb").lower()
    layout = Layout("nhwc" if settings.get("input_layout_train", "").upper() == "NHWC" else "nchw")
    head: tuple[Step, ...] = (Resize(_size(settings, layout)), _color(train))
    spec = PreprocessSpec((*head, *affine_steps(mean, scale=scale or (1.0,)), layout))
    notes = [_norm_note(norm)]
    device = settings.get("input_type_rt", train).lower()
    notes.append(f"the device is fed {device}; the converter inserts the conversion to {train}")
    if "nv12" in device or "yuv" in device:
        notes.append("Horizon's nv12 is BT.601 full range: video is usually limited range")
    if device == "featuremap":
        return Reading(spec, tuple(notes), None)
    return Reading(spec, tuple(notes), _runtime(head, device, train, settings))


def _size(settings: dict[str, str], layout: Layout) -> tuple[int, int] | None:
    """Read ``input_shape: 1x3x640x640``; (width, height)."""
    sides = settings.get("input_shape", "").lower().split("x")
    if len(sides) != 4 or not all(side.strip().isdigit() for side in sides):
        return None
    height, width = sides[1:3] if layout.name == "nhwc" else sides[2:]
    return int(width), int(height)


def _color(kind: str) -> Color:
    if kind.startswith("gray"):
        return Color("gray", 1)
    return Color("bgr" if kind.startswith("bgr") else "rgb")


def _norm_note(norm: str) -> str:
    if norm == "no_preprocess":
        return "norm_type is no_preprocess: the graph does not normalize, the code around it must"
    return f"norm_type is {norm}: the graph normalizes; do not do it again in the code around it"


def _runtime(
    head: tuple[Step, ...], device: str, train: str, settings: dict[str, str]
) -> PreprocessSpec:
    """Return what the device is fed: pixels, shifted for the ``_128`` types."""
    layout = Layout("nchw" if settings.get("input_layout_rt", "").upper() == "NCHW" else "nhwc")
    color = _color(train if "yuv" in device or "nv12" in device else device)
    steps: tuple[Step, ...] = (*head[:1], color)
    if "nv12" in device or "yuv420" in device:
        steps = (*steps, Yuv(("601", "full"), ("601", "full")))
    elif "yuv444" in device:
        steps = (*steps, Yuv(("601", "full"), ("601", "full"), subsampled=False))
    if device.endswith("_128"):
        return PreprocessSpec((*steps, Offset(-128), Cast("int8"), layout))
    return PreprocessSpec((*steps, Cast("uint8"), layout))


def write(spec: PreprocessSpec) -> str | None:
    """Write ``input_parameters``; the geometry is the user's."""
    simple = simplified(spec)
    if simple is None:
        return None
    mean, scale = any(simple.mean), set(simple.std) != {1.0}
    norm = {(True, True): "data_mean_and_scale", (True, False): "data_mean"}.get((mean, scale))
    norm = norm or ("data_scale" if scale else "no_preprocess")
    lines = [
        "input_parameters:",
        f"  input_type_train: '{simple.order}'",
        f"  input_layout_train: '{spec.layout.upper()}'",
        f"  norm_type: '{norm}'",
    ]
    lines += [f"  mean_value: '{simple.means(' ')}'"] if mean else []
    lines += [f"  scale_value: '{simple.scales(' ')}'"] if scale else []
    return "\n".join(lines)


DIALECT = Dialect("Horizon hb_mapper yaml", read, write)
