"""Preprocessing mistakes, planted with cv2, Pillow and numpy, not with the code under test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.check import CheckResult
from qdebug.preprocess.steps import Align, Letterbox, Pad

Picture = NDArray[np.uint8]
Tensor = NDArray[Any]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
ODD_MEAN = np.array([90.0, 101.5, 117.25], np.float32)
ODD_STD = np.array([47.3, 62.1, 71.9], np.float32)


def render(seed: int, width: int = 810, height: int = 607) -> Picture:
    """Paint gradients, textured discs, stripes and noise in RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    weights = rng.uniform(-0.25, 0.25, (2, 3))
    canvas = (
        128 + weights[0] * (x[..., None] - width / 2) + weights[1] * (y[..., None] - height / 2)
    )
    for _ in range(24):
        cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(15, 130)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        stripes = 1 + 0.35 * np.sin(x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
        canvas[inside] = (rng.uniform(0, 255, 3) * stripes[..., None])[inside]
    canvas += rng.normal(0, 6, canvas.shape)
    return np.asarray(np.clip(np.rint(canvas), 0, 255), np.uint8)


@dataclass(frozen=True)
class Target:
    """The right pipeline, a square letterbox with ImageNet's numbers, and ways to miss it."""

    side: int

    @property
    def reference(self) -> str:
        numbers = "mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
        return f"letterbox {self.side} pad 114 | rgb | /255 | {numbers} | nchw"

    def inner(self, rgb: Picture) -> tuple[int, int]:
        ratio = min(self.side / rgb.shape[0], self.side / rgb.shape[1])
        return round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)

    def resized(self, rgb: Picture, interpolation: int = cv2.INTER_LINEAR) -> Picture:
        if self.inner(rgb) == (rgb.shape[1], rgb.shape[0]):
            return rgb
        return np.asarray(cv2.resize(rgb, self.inner(rgb), interpolation=interpolation), np.uint8)

    def letterbox(
        self, rgb: Picture, pad: int = 114, interpolation: int = cv2.INTER_LINEAR
    ) -> Picture:
        return self.framed(self.resized(rgb, interpolation), pad)

    def framed(self, inner: Tensor, pad: float, centered: bool = True) -> Tensor:
        canvas = np.full((self.side, self.side, 3), pad, inner.dtype)
        height, width = inner.shape[:2]
        top = round((self.side - height) / 2 - 0.1) if centered else 0
        left = round((self.side - width) / 2 - 0.1) if centered else 0
        canvas[top : top + height, left : left + width] = inner
        return canvas

    def clean(self, rgb: Picture) -> Tensor:
        return chw(normalized(self.letterbox(rgb)))

    def stretched(self, rgb: Picture) -> Picture:
        return np.asarray(cv2.resize(rgb, (self.side, self.side)), np.uint8)

    def cropped(self, rgb: Picture) -> Picture:
        short = round(self.side / 0.875)
        height, width = rgb.shape[:2]
        scaled = (short, int(short * height / width))
        if width > height:
            scaled = (int(short * width / height), short)
        resized = np.asarray(cv2.resize(rgb, scaled), np.uint8)
        left, top = round((scaled[0] - self.side) / 2), round((scaled[1] - self.side) / 2)
        return resized[top : top + self.side, left : left + self.side]

    def pil(self, rgb: Picture, how: Image.Resampling = Image.Resampling.BILINEAR) -> Picture:
        return self.framed(np.asarray(Image.fromarray(rgb).resize(self.inner(rgb), how)), 114)

    def blocked(self, rgb: Picture) -> Tensor:
        blocks = np.zeros((1, 1, self.side, self.side, 16), np.float32)
        blocks[0, 0, :, :, :3] = normalized(self.letterbox(rgb))
        return blocks

    def sheared(self, rgb: Picture) -> Tensor:
        tensor = self.clean(rgb)
        wide = np.pad(tensor, ((0, 0), (0, 0), (0, 0), (0, 16)))
        return wide.reshape(-1)[: tensor.size].reshape(tensor.shape)


def normalized(rgb: Tensor, mean: Tensor = MEAN, std: Tensor = STD) -> Tensor:
    return (rgb.astype(np.float32) / 255 - mean) / std


def chw(hwc: Tensor) -> Tensor:
    return np.ascontiguousarray(hwc.transpose(2, 0, 1)[None])


def gray(rgb: Picture) -> Picture:
    single = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(single, cv2.COLOR_GRAY2RGB), np.uint8)


def misread_range(rgb: Picture) -> Picture:
    """Write limited-range YUV with cv2's matrix and read it as full range."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    chroma = 128 - 128 * 224 / 255
    limited = ycc * [219 / 255, 224 / 255, 224 / 255] + [16, chroma, chroma]
    codes = np.rint(limited).astype(np.uint8)
    return np.asarray(cv2.cvtColor(codes, cv2.COLOR_YCrCb2RGB), np.uint8)


def misread_matrix(rgb: Picture) -> Picture:
    """Write BT.601 with cv2 and read it as BT.709."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    y, red, blue = ycc[..., 0], ycc[..., 1] - 128, ycc[..., 2] - 128
    r, b = y + 1.5748 * red, y + 1.8556 * blue
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    return np.asarray(np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255), np.uint8)


def nv12(rgb: Picture) -> Picture:
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)


def jpeg(rgb: Picture) -> Picture:
    factor = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, code = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98, *factor])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


@dataclass(frozen=True)
class Fault:
    """A mistake and what must be said of it.

    Attributes:
        slugs: exactly these at ``warn`` or ``fail``.
        make: plants it.
        words: must stand in what was seen.
        number: what the recovered pipeline must hold, and the same of the one planted.
    """

    slugs: tuple[str, ...]
    make: Callable[[Target, Picture], Tensor]
    words: str = ""
    number: tuple[Callable[[PreprocessSpec], object], object] | None = None


def _pad(spec: PreprocessSpec) -> object:
    box, late = spec.find(Letterbox), spec.find(Pad)
    return late.value if late else box.pad if box else None


def _numbers(spec: PreprocessSpec) -> object:
    return [*spec.affine.mean, *spec.affine.std]


def _align(spec: PreprocessSpec) -> object:
    found = spec.find(Align)
    return found.multiple if found else None


def _filter(spec: PreprocessSpec) -> object:
    box = spec.find(Letterbox)
    return f"{box.resampler.library} {box.resampler.filter}" if box else None


_TWICE = (MEAN + MEAN * STD) * 255, STD * STD * 255

FAULTS: dict[str, Fault] = {
    "BGR before": Fault(
        ("channel-order",),
        lambda t, p: chw(normalized(t.letterbox(p)[..., ::-1])),
        "before the normalization",
    ),
    "BGR after": Fault(
        ("channel-order",), lambda t, p: t.clean(p)[:, ::-1], "after the normalization"
    ),
    "numbers reversed": Fault(
        ("mean-std-order",),
        lambda t, p: chw(normalized(t.letterbox(p), MEAN[::-1], STD[::-1])),
        "",
        (_numbers, [*MEAN[::-1] * 255, *STD[::-1] * 255]),
    ),
    "no /255": Fault(
        ("missing-scale",), lambda t, p: chw((t.letterbox(p).astype(np.float32) - MEAN) / STD)
    ),
    "/255 twice": Fault(
        ("double-normalization",), lambda t, p: chw(normalized(t.letterbox(p) / np.float32(255)))
    ),
    "normalized twice": Fault(
        ("double-normalization",),
        lambda t, p: chw((normalized(t.letterbox(p)) - MEAN) / STD),
        "gain 1/std, offset -mean/std",
        (_numbers, [*_TWICE[0], *_TWICE[1]]),
    ),
    "only /255": Fault(
        ("missing-normalization",), lambda t, p: chw(t.letterbox(p).astype(np.float32) / 255)
    ),
    "raw pixels": Fault(
        ("missing-normalization",), lambda t, p: chw(t.letterbox(p).astype(np.float32))
    ),
    "127.5": Fault(
        ("missing-normalization",),
        lambda t, p: chw((t.letterbox(p).astype(np.float32) - 127.5) / 127.5),
        "the range -1..1",
        (_numbers, [127.5, 127.5, 127.5, 127.5, 127.5, 127.5]),
    ),
    "odd mean and std": Fault(
        ("not-identifiable",),
        lambda t, p: chw((t.letterbox(p).astype(np.float32) - ODD_MEAN) / ODD_STD),
        "",
        (_numbers, [*ODD_MEAN, *ODD_STD]),
    ),
    "std of 0..255": Fault(
        ("std-not-scaled",), lambda t, p: chw(normalized(t.letterbox(p), MEAN, STD * 255))
    ),
    "multiplied by std": Fault(
        ("std-not-scaled",),
        lambda t, p: chw((t.letterbox(p).astype(np.float32) / 255 - MEAN) * STD),
        "1/std",
    ),
    "gray": Fault(("grayscale",), lambda t, p: chw(normalized(gray(t.letterbox(p))))),
    "stretch": Fault(("resize-geometry",), lambda t, p: chw(normalized(t.stretched(p)))),
    "centre crop": Fault(("resize-geometry",), lambda t, p: chw(normalized(t.cropped(p)))),
    "corner": Fault(
        ("resize-geometry",), lambda t, p: chw(normalized(t.framed(t.resized(p), 114, False)))
    ),
    "pad 0": Fault(
        ("pad-value",), lambda t, p: chw(normalized(t.letterbox(p, 0))), "", (_pad, (0.0,))
    ),
    "pad 37": Fault(
        ("pad-value",), lambda t, p: chw(normalized(t.letterbox(p, 37))), "", (_pad, (37.0,))
    ),
    "pad 128": Fault(
        ("pad-value",), lambda t, p: chw(normalized(t.letterbox(p, 128))), "", (_pad, (128.0,))
    ),
    "padded after": Fault(
        ("pad-value",),
        lambda t, p: chw(t.framed(normalized(t.resized(p)), 0)),
        "after the normalization",
        (_pad, (0.0,)),
    ),
    "nearest": Fault(
        ("interpolation",),
        lambda t, p: chw(normalized(t.letterbox(p, 114, cv2.INTER_NEAREST))),
        "",
        (_filter, "cv2 nearest"),
    ),
    "area": Fault(
        ("interpolation",),
        lambda t, p: chw(normalized(t.letterbox(p, 114, cv2.INTER_AREA))),
        "",
        (_filter, "cv2 area"),
    ),
    "PIL bilinear": Fault(
        ("interpolation",), lambda t, p: chw(normalized(t.pil(p))), "", (_filter, "pil bilinear")
    ),
    "PIL bicubic": Fault(
        ("interpolation",),
        lambda t, p: chw(normalized(t.pil(p, Image.Resampling.BICUBIC))),
        "",
        (_filter, "pil bicubic"),
    ),
    "NHWC as NCHW": Fault(
        ("layout",), lambda t, p: normalized(t.letterbox(p)).reshape(1, 3, t.side, t.side)
    ),
    "NHWC, labelled": Fault(("layout",), lambda t, p: normalized(t.letterbox(p))[None], "NHWC"),
    "NC1HWC2": Fault(("layout",), lambda t, p: t.blocked(p), "NC1HWC2"),
    "row stride +16": Fault(
        ("row-stride",),
        lambda t, p: np.pad(t.clean(p), ((0, 0), (0, 0), (0, 0), (0, 16))),
        "agree under NCHW, stored",
    ),
    "raw NHWC bytes": Fault(("layout",), lambda t, p: normalized(t.letterbox(p)).reshape(-1)),
    "transposed": Fault(("layout",), lambda t, p: t.clean(p).transpose(0, 1, 3, 2)),
    "mirrored": Fault(("flip-rotate",), lambda t, p: t.clean(p)[..., ::-1], "left to right"),
    "upside down": Fault(("flip-rotate",), lambda t, p: t.clean(p)[:, :, ::-1, ::-1], "180"),
    "turned": Fault(("flip-rotate",), lambda t, p: np.rot90(t.clean(p), 1, (2, 3)), "degrees"),
    "sheared rows": Fault(("row-stride",), lambda t, p: t.sheared(p), "read as rows of"),
    "limited read as full": Fault(
        ("yuv-range",), lambda t, p: chw(normalized(misread_range(t.letterbox(p))))
    ),
    "601 read as 709": Fault(
        ("yuv-matrix",), lambda t, p: chw(normalized(misread_matrix(t.letterbox(p))))
    ),
    "uint8 read as int8": Fault(
        ("sign-misread",),
        lambda t, p: chw((t.letterbox(p).view(np.int8).astype(np.float32) / 255 - MEAN) / STD),
    ),
    "BGR and stretched": Fault(
        ("channel-order", "resize-geometry"),
        lambda t, p: chw(normalized(t.stretched(p)[..., ::-1])),
    ),
    "BGR, nearest, pad 0": Fault(
        ("channel-order", "interpolation", "pad-value"),
        lambda t, p: chw(normalized(t.letterbox(p, 0, cv2.INTER_NEAREST)[..., ::-1])),
    ),
    "doubled, NHWC, rows +16": Fault(
        ("double-normalization", "layout", "row-stride"),
        lambda t, p: np.pad(
            ((normalized(t.letterbox(p)) - MEAN) / STD)[None], ((0, 0), (0, 0), (0, 16), (0, 0))
        ),
        "NHWC, stored",
    ),
}

CONTROLS: dict[str, Callable[[Target, Picture], Tensor]] = {
    "clean": lambda t, p: t.clean(p),
    "float16": lambda t, p: t.clean(p).astype(np.float16),
    "raw bytes": lambda t, p: t.clean(p).reshape(-1),
    "int8, one scale": lambda t, p: np.clip(np.rint(t.clean(p) / 0.0207), -128, 127).astype(
        np.int8
    ),
    "NV12 and back": lambda t, p: chw(normalized(nv12(t.letterbox(p)))),
    "JPEG again": lambda t, p: chw(normalized(jpeg(t.letterbox(p)))),
}


def alarms(result: CheckResult) -> tuple[str, ...]:
    """The slugs at ``warn`` or ``fail``."""
    return tuple(sorted(f.slug for f in result.findings if f.status in ("warn", "fail")))


def seen(result: CheckResult) -> str:
    """All that was seen, passed checks left out."""
    return "\n".join(f.seen for f in result.findings if f.status != "pass")


def expected(name: str, target: Target, rgb: Picture) -> tuple[str, ...]:
    """The slugs that must be raised on a picture: without those that leave no trace on it.

    A part of a fault that moves no pixel by half a code cannot be told: padding that is not
    there, a filter that was not used. On a gray picture an exchange of channels and one of numbers
    look alike, which must be said.
    """
    slugs = FAULTS[name].slugs
    if len(slugs) == 1 and not _shows(name, target, rgb):
        return ()
    is_gray = not np.ptp(rgb, axis=2).any()
    if is_gray and slugs in (("channel-order",), ("mean-std-order",)):
        return ("not-identifiable",)
    return tuple(sorted(s for s in slugs if not _hidden(s, name, target, rgb, is_gray)))


def _shows(name: str, target: Target, rgb: Picture) -> bool:
    made, clean = FAULTS[name].make(target, rgb), target.clean(rgb)
    return made.shape != clean.shape or bool(np.abs((made - clean) * 255 * 0.225).max() >= 0.5)


def _hidden(slug: str, name: str, target: Target, rgb: Picture, is_gray: bool) -> bool:
    width, height = target.inner(rgb)
    if slug == "pad-value" or (slug == "resize-geometry" and len(FAULTS[name].slugs) > 1):
        return min(width, height) == target.side
    if slug == "interpolation":
        return (width, height) == (rgb.shape[1], rgb.shape[0])
    return is_gray and slug in ("channel-order", "grayscale")


def missed(name: str, target: Target, rgb: Picture, result: CheckResult) -> str:
    """What was not named as it should have been; empty if all was."""
    if name in CONTROLS:
        return f"false alarm {', '.join(alarms(result))}" if alarms(result) else ""
    fault, wanted = FAULTS[name], expected(name, target, rgb)
    if alarms(result) != wanted:
        return f"named {', '.join(alarms(result)) or 'nothing'}, planted {', '.join(wanted)}"
    if wanted != tuple(sorted(fault.slugs)):
        return ""
    if not re.search(re.escape(fault.words), seen(result)):
        return f"'{fault.words}' is not said: {seen(result)}"
    if fault.number and result.recovered is not None:
        read, truth = fault.number
        if not _same(read(result.recovered), truth):
            return f"recovered {read(result.recovered)}, planted {truth}"
    return ""


def _same(read: object, truth: object) -> bool:
    """Equal; mean and std within one percent."""
    if isinstance(truth, list):
        return isinstance(read, list) and bool(np.allclose(read, truth, rtol=0.01, atol=0))
    return read == truth
