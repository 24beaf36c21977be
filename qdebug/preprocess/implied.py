"""What a model implies about its preprocessing when the user says nothing.

First the metadata that exporters write, then the input's name, shape and data type. Whatever is
assumed is said in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qdebug.preprocess.graph_front.front import GraphFront
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import (
    ARITHMETIC,
    Align,
    Cast,
    Color,
    DtypeName,
    Layout,
    Offset,
    Scale,
    Step,
)

Origin = Literal["flag", "file", "metadata", "inferred", "assumed"]

_CLASSIFIER_SIDE = 299
_CROP_SHARE = 0.875
_UNIT_MEAN = 2.0
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue, in 0..1 (Krizhevsky et al. 2012, as torchvision writes it)."""
_SAME_MEAN = 0.01
"""Relative: Caffe's 123.68, 116.779, 103.939 and the rounded 123, 117, 104 are the same means. The
next ones are 6 % apart."""


@dataclass(frozen=True)
class ImpliedSpec:
    """A pipeline, where it comes from, and what was assumed."""

    spec: PreprocessSpec | None
    """None where nothing can be implied: the input is no picture, or its size is not fixed."""
    origin: Origin
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """Parts that nothing decided, one phrase each."""


SpecLike = PreprocessSpec | ImpliedSpec | str
"""A spec, a spec with its origin, or what ``-p`` takes."""


def implied_spec(
    item: ModelInput, metadata: Mapping[str, str], front: GraphFront | None = None
) -> ImpliedSpec:
    """Derive a pipeline from a model's metadata, else from its input.

    Args:
        item: the input that takes pictures.
        metadata: the model's metadata properties.
        front: what the graph does to its input; one that normalizes is fed without that.
    """
    if item.layout is None:
        return ImpliedSpec(None, "assumed", (f"input {item.name!r} is not a picture",))
    found = _from_ultralytics(item, metadata)
    if found:
        return found
    if item.size is None:
        note = f"input {item.name!r} has no fixed size: {item.describe()}; give one with -p"
        return ImpliedSpec(None, "assumed", (note,))
    text, notes = _from_shape(item, item.size)
    spec = PreprocessSpec.parse(f"{text} | {ending(item)}")
    if front is not None and front.normalizes and item.dtype not in ("uint8", "int8"):
        spec, notes = _without_normalization(spec, front)
    return ImpliedSpec(spec, "assumed", (*notes, "say it with -p to be sure"))


def _without_normalization(
    spec: PreprocessSpec, front: GraphFront
) -> tuple[PreprocessSpec, tuple[str, ...]]:
    """Leave to the graph what it does itself; mean and std below 2 are those of 0..1."""
    bare = spec.without(*ARITHMETIC)
    pixels = max(abs(mean) for mean in Affine(front.gain, front.offset).mean) > _UNIT_MEAN
    if not pixels and any(front.offset):
        bare = _insert(bare, (Scale(255.0, divide=True),))
    fed = "0..1" if bare.affine.gain[0] < 1 else "0..255"
    order, color = _order_behind(front), order_told(front)
    if color is None:
        return bare, (f"the graph itself {front.describe()}, so {fed} is fed",)
    steps = tuple(Color(color) if isinstance(step, Color) else step for step in bare.steps)
    told = (
        f"{fed} is fed, as {color.upper()}: its means are ImageNet's in {str(order).upper()} order"
    )
    return PreprocessSpec(steps), (f"the graph itself {front.describe()}, so {told}",)


def order_told(front: GraphFront) -> Literal["rgb", "bgr"] | None:
    """Order in which the channels are fed, by the graph's own means; None where they don't tell."""
    order = _order_behind(front)
    if order is None or not front.reversed:
        return order
    return "bgr" if order == "rgb" else "rgb"


def _order_behind(front: GraphFront) -> Literal["rgb", "bgr"] | None:
    """Order of the channels that the graph's own means are for; None where they do not tell."""
    mean = np.asarray(Affine(front.gain, front.offset).mean, np.float64)
    if mean.shape != (3,):
        return None
    for scale in (1.0, 255.0):
        known = np.asarray(_IMAGENET_MEAN) * scale
        if np.allclose(mean, known, rtol=_SAME_MEAN):
            return "rgb"
        if np.allclose(mean, known[::-1], rtol=_SAME_MEAN):
            return "bgr"
    return None


def _from_ultralytics(item: ModelInput, metadata: Mapping[str, str]) -> ImpliedSpec | None:
    """Read ``imgsz``, ``task`` and ``channels`` as Ultralytics' exporter writes them."""
    if not {"imgsz", "stride", "names"} <= metadata.keys():
        return None
    sides = [int(side) for side in re.findall(r"\d+", metadata["imgsz"])]
    if not sides:
        return None
    height, width = sides[0], sides[-1]
    if item.size:
        width, height = item.size
    color = "gray" if metadata.get("channels") == "1" else "rgb"
    task = metadata.get("task", "detect")
    text = f"letterbox {width}x{height} pad 114"
    if task == "classify":
        text = f"decode cv2 | resize {width} pil bilinear | center-crop {width}x{height}"
    spec = PreprocessSpec.parse(f"{text} | {color} | /255 | {ending(item)}")
    said = ", ".join(
        f"{key}={metadata[key]}" for key in ("task", "imgsz", "stride") if key in metadata
    )
    return ImpliedSpec(spec, "metadata", (f"Ultralytics metadata: {said}",))


def _from_shape(item: ModelInput, size: tuple[int, int]) -> tuple[str, tuple[str, ...]]:
    """Guess geometry, colour and range from an input's name, size and data type."""
    width, height = size
    color = "gray" if item.channels == 1 else "rgb"
    by = f"{width}x{height}"
    if item.dtype in ("uint8", "int8"):
        note = f"the input takes {item.dtype}, so pixels are fed as they are, stretched to {by}"
        return f"resize {by} cv2 linear | {color}", (note,)
    if item.name == "images" and width % 32 == 0 and height % 32 == 0:
        note = f"an input named 'images' of {by} is taken for a YOLO export: letterbox, RGB, 0..1"
        return f"letterbox {by} pad 114 | {color} | /255", (note,)
    if width == height <= _CLASSIFIER_SIDE and item.channels == 3:
        side = int(width / _CROP_SHARE)
        note = f"a float input of {by} is taken for a classifier with ImageNet's mean and std"
        mean = "mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
        return f"resize {side} cv2 linear | center-crop {width} | rgb | /255 | {mean}", (note,)
    note = f"only the input's shape is known: stretched to {by}, {color.upper()}, 0..1"
    return f"resize {by} cv2 linear | {color} | /255", (note,)


def ending(item: ModelInput) -> str:
    """Write the data type and layout of an input."""
    parts: list[str] = [item.layout or "nchw"]
    if item.dtype == "int8":
        parts = ["offset -128", "int8", *parts]
    elif item.dtype in ("uint8", "float16", "float64"):
        parts = [item.dtype, *parts]
    return " | ".join(parts)


def quant_side(
    spec: PreprocessSpec, float_input: ModelInput, quant_input: ModelInput
) -> ImpliedSpec:
    """Derive the quant side's pipeline where its input differs from the float model's.

    Only the layout and the data type are adapted: NHWC for NCHW, and an integer input takes the
    pixels themselves, since the graph must then do the normalization.

    Args:
        spec: the float side's pipeline.
        float_input: the float model's input.
        quant_input: the quant model's input.
    """
    adapted, notes = spec, []
    if quant_input.layout and quant_input.layout != float_input.layout:
        adapted = adapted.with_layout(quant_input.layout)
        notes.append(f"the quant graph wants {quant_input.layout.upper()}")
    if quant_input.dtype != float_input.dtype:
        adapted = _with_dtype(adapted, quant_input.dtype)
        notes.append(_dtype_note(quant_input.dtype))
    return ImpliedSpec(adapted, "assumed", tuple(notes))


def _with_dtype(spec: PreprocessSpec, dtype: str) -> PreprocessSpec:
    floats: dict[str, DtypeName] = {
        "float16": "float16",
        "float32": "float32",
        "float64": "float64",
    }
    integers: dict[str, tuple[Step, ...]] = {
        "uint8": (Cast("uint8"),),
        "int8": (Offset(-128), Cast("int8")),
    }
    if dtype in floats:
        kept = spec.without(Cast)
        return _insert(kept, (Cast(floats[dtype]),))
    kept = spec.without(*ARITHMETIC, Cast)
    return _insert(kept, integers.get(dtype, ()))


def _insert(spec: PreprocessSpec, steps: tuple[Step, ...]) -> PreprocessSpec:
    """Put steps before the layout and the alignment."""
    head = tuple(s for s in spec.steps if not isinstance(s, Layout | Align))
    return PreprocessSpec((*head, *steps, *spec.steps[len(head) :]))


def _dtype_note(dtype: str) -> str:
    if dtype == "int8":
        return "the quant graph takes int8: pixels minus 128, its normalization must be inside"
    if dtype == "uint8":
        return (
            "the quant graph takes uint8: the pixels themselves, its normalization must be inside"
        )
    return f"the quant graph takes {dtype}"
