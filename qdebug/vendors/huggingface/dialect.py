"""Hugging Face ``preprocessor_config.json`` and timm's ``pretrained_cfg``."""

from __future__ import annotations

import json
import math
from typing import Any

from qdebug.errors import InputError
from qdebug.preprocess.numbers import format_number
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    CenterCrop,
    Color,
    Decode,
    Layout,
    Normalize,
    Resampler,
    Resize,
    ResizeShort,
    Scale,
    Step,
)
from qdebug.vendors.dialect import Dialect, Reading, simplified

_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_PIL = Decode("pil", exif=False)


def read(text: str) -> Reading:
    """Read the JSON of either kind."""
    try:
        config: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"this is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError("this JSON is no preprocessing configuration")
    config = config.get("pretrained_cfg", config)
    if "image_mean" in config or "do_normalize" in config:
        return _read_huggingface(config)
    if "mean" in config and ("input_size" in config or "crop_pct" in config):
        return _read_timm(config)
    raise InputError(
        "this JSON is no preprocessing configuration",
        "it should be a preprocessor_config.json or a timm config.json",
    )


def _read_huggingface(config: dict[str, Any]) -> Reading:
    steps: list[Step] = [_PIL]
    if config.get("do_resize", True) and "size" in config:
        name = _RESAMPLE.get(int(config.get("resample", 2)), "bilinear")
        steps.append(_sized(config["size"], Resampler("pil", name)))
    if config.get("do_center_crop") and "crop_size" in config:
        steps.append(CenterCrop(_wh(config["crop_size"]), "floor"))
    steps.append(Color("rgb"))
    if config.get("do_rescale", True):
        factor = float(config.get("rescale_factor", 1 / 255))
        inverse = round(1 / factor)
        exact = abs(inverse * factor - 1) < 1e-6
        steps.append(Scale(float(inverse), divide=True) if exact else Scale(factor))
    if config.get("do_normalize", True) and "image_mean" in config:
        steps.append(_normalize(config["image_mean"], config["image_std"]))
    return Reading(PreprocessSpec((*steps, Layout("nchw"))))


def _sized(size: Any, resampler: Resampler) -> Step:
    if isinstance(size, dict) and "shortest_edge" in size:
        return ResizeShort(int(size["shortest_edge"]), resampler)
    if isinstance(size, int):
        return ResizeShort(size, resampler)
    return Resize(_wh(size), resampler)


def _wh(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        return int(size["width"]), int(size["height"])
    if isinstance(size, list):
        return int(size[-1]), int(size[0])
    return int(size), int(size)


def _normalize(mean: Any, std: Any) -> Normalize:
    return Normalize(tuple(float(m) for m in mean), tuple(float(s) for s in std))


def _read_timm(config: dict[str, Any]) -> Reading:
    """Formula: ``scale_size = floor(size / crop_pct)``, timm's ``transforms_imagenet_eval``."""
    side = int(config.get("input_size", [3, 224, 224])[-1])
    share = float(config.get("crop_pct") or 0.875)
    resampler = Resampler.named("pil", str(config.get("interpolation", "bicubic")))
    steps: list[Step] = [_PIL, ResizeShort(math.floor(side / share), resampler)]
    steps += [CenterCrop((side, side)), Color("rgb"), Scale(255.0, divide=True)]
    steps.append(_normalize(config["mean"], config["std"]))
    return Reading(PreprocessSpec((*steps, Layout("nchw"))))


def write(spec: PreprocessSpec) -> str | None:
    """Write a ``preprocessor_config.json``; Pillow pipelines without a letterbox only."""
    simple = simplified(spec)
    if simple is None or simple.channels != 3 or simple.order != "rgb" or not simple.geometry:
        return None
    first, *rest = simple.geometry
    if not isinstance(first, Resize | ResizeShort) or first.resampler.library != "pil":
        return None
    code = next(k for k, name in _RESAMPLE.items() if name == first.resampler.filter)
    size = {"shortest_edge": first.side} if isinstance(first, ResizeShort) else _size(first.size)
    config: dict[str, Any] = {"do_resize": True, "size": size, "resample": code}
    if rest:
        if len(rest) > 1 or not isinstance(rest[0], CenterCrop):
            return None
        config |= {"do_center_crop": True, "crop_size": _size(rest[0].size)}
    config |= {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [float(format_number(round(m / 255, 7))) for m in simple.mean],
        "image_std": [float(format_number(round(s / 255, 7))) for s in simple.std],
    }
    return json.dumps(config)


def _size(size: tuple[int, int] | None) -> dict[str, int] | str:
    return {"height": size[1], "width": size[0]} if size else "model"


DIALECT = Dialect("Hugging Face or timm JSON", read, write)
