"""TPU-MLIR: the arguments of ``model_transform``."""

from __future__ import annotations

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Anchor, CenterCrop, Color, Layout, Letterbox, Resize, Step
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

_KEYS = ("mean", "scale", "pixel_format", "keep_aspect_ratio", "resize_dims", "input_shapes")


def read(text: str) -> Reading:
    """Read ``--mean --scale --pixel_format --keep_aspect_ratio --resize_dims ...``."""
    settings = pairs(text)
    require(settings, _KEYS, "model_transform")
    shape = numbers_of(settings, "input_shapes")
    size = (int(shape[3]), int(shape[2])) if shape and len(shape) >= 4 else None
    resized = numbers_of(settings, "resize_dims")
    target = (int(resized[1]), int(resized[0])) if resized and len(resized) == 2 else size
    steps: list[Step] = [_geometry(settings, target)]
    if size and target != size:
        steps.append(CenterCrop(size))
    form = settings.get("pixel_format", "bgr").lower()
    steps.append(
        Color("gray", 1) if form.startswith("gray") else Color("rgb" if form == "rgb" else "bgr")
    )
    steps += affine_steps(
        numbers_of(settings, "mean"), scale=numbers_of(settings, "scale") or (1.0,)
    )
    steps.append(Layout("nhwc" if settings.get("channel_format") == "nhwc" else "nchw"))
    notes = () if "pixel_format" in settings else ("pixel_format is not given: TPU-MLIR takes BGR",)
    return Reading(PreprocessSpec(tuple(steps)), notes)


def _geometry(settings: dict[str, str], target: tuple[int, int] | None) -> Step:
    """Return the letterbox, whose sides TPU-MLIR truncates, or the stretch."""
    if not is_true(settings.get("keep_aspect_ratio")):
        return Resize(target)
    pad = numbers_of(settings, "pad_value") or (0.0,)
    anchor: Anchor = "center" if settings.get("pad_type", "center") == "center" else "top-left"
    return Letterbox(target, pad, anchor=anchor, rounding="floor")


def write(spec: PreprocessSpec) -> str | None:
    """Write the arguments of ``model_transform``."""
    simple = simplified(spec)
    if simple is None:
        return None
    box, size = simple.letterbox, simple.stretch
    words = [f"--mean {simple.means()}", f"--scale {simple.scales()}"]
    if box and box.size and box.pad and len(set(box.pad)) == 1 and not box.stride and box.upscale:
        size = box.size
        place = "center" if box.anchor == "center" else "normal"
        words += ["--keep_aspect_ratio", f"--pad_value {box.pad[0]:g}", f"--pad_type {place}"]
    if size is None:
        return None
    words += [f"--resize_dims {size[1]},{size[0]}", f"--pixel_format {simple.order}"]
    return "model_transform " + " ".join(words)


DIALECT = Dialect("TPU-MLIR model_transform", read, write)
