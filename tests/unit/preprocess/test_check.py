"""The bench of planted preprocessing mistakes, on rendered pictures.

Each fault is planted with cv2, Pillow and numpy directly, not with the code under test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.check import CheckResult, check_picture

from .conftest import Picture, render

Save = Callable[..., Path]
Tensor = NDArray[Any]

SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
REFERENCE = (
    f"letterbox {SIDE} pad 114 | rgb | /255 | mean 0.485,0.456,0.406 std 0.229,0.224,0.225 | nchw"
)
SIZES = [(810, 607), (500, 375), (427, 640), (640, 480), (333, 500), (1024, 683),
         (480, 640), (900, 601), (375, 555), (701, 499)]  # fmt: skip


def letterbox(rgb: Picture, pad: int = 114, interpolation: int = cv2.INTER_LINEAR) -> Picture:
    ratio = min(SIDE / rgb.shape[0], SIDE / rgb.shape[1])
    width, height = round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)
    inner = cv2.resize(rgb, (width, height), interpolation=interpolation)
    return _framed(np.asarray(inner, np.uint8), pad, centered=True)


def _framed(inner: Picture, pad: int, centered: bool) -> Picture:
    canvas = np.full((SIDE, SIDE, 3), pad, np.uint8)
    height, width = inner.shape[:2]
    top = round((SIDE - height) / 2 - 0.1) if centered else 0
    left = round((SIDE - width) / 2 - 0.1) if centered else 0
    canvas[top : top + height, left : left + width] = inner
    return canvas


def normalized(rgb: Picture, mean: Tensor = MEAN, std: Tensor = STD) -> Tensor:
    return (rgb.astype(np.float32) / 255 - mean) / std


def chw(hwc: Tensor) -> Tensor:
    return np.ascontiguousarray(hwc.transpose(2, 0, 1)[None])


def clean(rgb: Picture) -> Tensor:
    return chw(normalized(letterbox(rgb)))


def stretched(rgb: Picture) -> Picture:
    return np.asarray(cv2.resize(rgb, (SIDE, SIDE)), np.uint8)


def cropped(rgb: Picture) -> Picture:
    image = Image.fromarray(rgb)
    short = round(SIDE / 0.875)
    width, height = image.size
    size = (
        (short, int(short * height / width))
        if width <= height
        else (int(short * width / height), short)
    )
    image = Image.fromarray(np.asarray(cv2.resize(rgb, size)))
    left, top = round((image.width - SIDE) / 2), round((image.height - SIDE) / 2)
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def cornered(rgb: Picture) -> Picture:
    ratio = min(SIDE / rgb.shape[0], SIDE / rgb.shape[1])
    size = round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)
    return _framed(np.asarray(cv2.resize(rgb, size), np.uint8), 114, centered=False)


def pil_bilinear(rgb: Picture) -> Picture:
    ratio = min(SIDE / rgb.shape[0], SIDE / rgb.shape[1])
    size = round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)
    inner = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    return _framed(inner, 114, centered=True)


def padded_after(rgb: Picture) -> Tensor:
    boxed = letterbox(rgb)
    tensor = normalized(boxed)
    ratio = min(SIDE / rgb.shape[0], SIDE / rgb.shape[1])
    width, height = round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)
    top, left = round((SIDE - height) / 2 - 0.1), round((SIDE - width) / 2 - 0.1)
    framed = np.zeros_like(tensor)
    framed[top : top + height, left : left + width] = tensor[
        top : top + height, left : left + width
    ]
    return framed


def misread_range(rgb: Picture) -> Picture:
    """Write limited-range YUV with cv2's matrix and read it as full range."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    limited = ycc * [219 / 255, 224 / 255, 224 / 255] + [
        16,
        128 - 128 * 224 / 255,
        128 - 128 * 224 / 255,
    ]
    return np.asarray(
        cv2.cvtColor(np.rint(limited).astype(np.uint8), cv2.COLOR_YCrCb2RGB), np.uint8
    )


def misread_matrix(rgb: Picture) -> Picture:
    """Write BT.601 with cv2 and read it as BT.709."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    y, red, blue = ycc[..., 0], ycc[..., 1] - 128, ycc[..., 2] - 128
    r, b = y + 1.5748 * red, y + 1.8556 * blue
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    return np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255).astype(np.uint8)


def sheared(tensor: Tensor) -> Tensor:
    wide = np.pad(tensor, ((0, 0), (0, 0), (0, 0), (0, 16)))
    return wide.reshape(-1)[: tensor.size].reshape(tensor.shape)


FAULTS: dict[str, tuple[tuple[str, ...], Callable[[Picture], Tensor]]] = {
    "BGR before": (("channel-order",), lambda p: chw(normalized(letterbox(p)[..., ::-1]))),
    "BGR after": (("channel-order",), lambda p: clean(p)[:, ::-1]),
    "numbers reversed": (
        ("mean-std-order",),
        lambda p: chw(normalized(letterbox(p), MEAN[::-1], STD[::-1])),
    ),
    "no /255": (
        ("missing-scale",),
        lambda p: chw((letterbox(p).astype(np.float32) - MEAN) / STD),
    ),
    "/255 twice": (
        ("double-normalization",),
        lambda p: chw((letterbox(p).astype(np.float32) / 255 / 255 - MEAN) / STD),
    ),
    "normalized twice": (
        ("double-normalization",),
        lambda p: chw((normalized(letterbox(p)) - MEAN) / STD),
    ),
    "only /255": (
        ("missing-normalization",),
        lambda p: chw(letterbox(p).astype(np.float32) / 255),
    ),
    "raw pixels": (("missing-normalization",), lambda p: chw(letterbox(p).astype(np.float32))),
    "127.5": (
        ("missing-normalization",),
        lambda p: chw((letterbox(p).astype(np.float32) - 127.5) / 127.5),
    ),
    "std of 0..255": (
        ("std-not-scaled",),
        lambda p: chw(normalized(letterbox(p), MEAN, STD * 255)),
    ),
    "multiplied by std": (
        ("std-not-scaled",),
        lambda p: chw((letterbox(p).astype(np.float32) / 255 - MEAN) * STD),
    ),
    "gray": (
        ("grayscale",),
        lambda p: chw(
            normalized(
                np.asarray(
                    cv2.cvtColor(
                        cv2.cvtColor(letterbox(p), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
                    ),
                    np.uint8,
                )
            )
        ),
    ),
    "stretch": (("resize-geometry",), lambda p: chw(normalized(stretched(p)))),
    "centre crop": (("resize-geometry",), lambda p: chw(normalized(cropped(p)))),
    "corner": (("resize-geometry",), lambda p: chw(normalized(cornered(p)))),
    "pad 0": (("pad-value",), lambda p: chw(normalized(letterbox(p, 0)))),
    "pad 128": (("pad-value",), lambda p: chw(normalized(letterbox(p, 128)))),
    "padded after": (("pad-value",), lambda p: chw(padded_after(p))),
    "nearest": (
        ("interpolation",),
        lambda p: chw(normalized(letterbox(p, interpolation=cv2.INTER_NEAREST))),
    ),
    "area": (
        ("interpolation",),
        lambda p: chw(normalized(letterbox(p, interpolation=cv2.INTER_AREA))),
    ),
    "PIL bilinear": (("interpolation",), lambda p: chw(normalized(pil_bilinear(p)))),
    "NHWC as NCHW": (
        ("layout",),
        lambda p: normalized(letterbox(p)).reshape(1, 3, SIDE, SIDE),
    ),
    "transposed": (("layout",), lambda p: clean(p).transpose(0, 1, 3, 2)),
    "mirrored": (("flip-rotate",), lambda p: clean(p)[..., ::-1]),
    "upside down": (("flip-rotate",), lambda p: clean(p)[:, :, ::-1, ::-1]),
    "turned": (("flip-rotate",), lambda p: np.rot90(clean(p), 1, (2, 3))),
    "sheared rows": (("row-stride",), lambda p: sheared(clean(p))),
    "limited read as full": (
        ("yuv-range",),
        lambda p: chw(normalized(misread_range(letterbox(p)))),
    ),
    "601 read as 709": (
        ("yuv-matrix",),
        lambda p: chw(normalized(misread_matrix(letterbox(p)))),
    ),
    "uint8 read as int8": (
        ("sign-misread",),
        lambda p: chw((letterbox(p).view(np.int8).astype(np.float32) / 255 - MEAN) / STD),
    ),
    "BGR and stretched": (
        ("channel-order", "resize-geometry"),
        lambda p: chw(normalized(stretched(p)[..., ::-1])),
    ),
    "BGR, nearest, pad 0": (
        ("channel-order", "interpolation", "pad-value"),
        lambda p: chw(normalized(letterbox(p, 0, cv2.INTER_NEAREST)[..., ::-1])),
    ),
}

CONTROLS: dict[str, Callable[[Picture], Tensor]] = {
    "clean": clean,
    "float16": lambda p: clean(p).astype(np.float16),
    "NHWC, labelled": lambda p: normalized(letterbox(p))[None],
    "NC1HWC2": lambda p: _blocked(normalized(letterbox(p))),
    "row stride +16": lambda p: np.pad(clean(p), ((0, 0), (0, 0), (0, 0), (0, 16))),
    "raw bytes": lambda p: clean(p).reshape(-1),
    "raw NHWC bytes": lambda p: normalized(letterbox(p)).reshape(-1),
    "int8, one scale": lambda p: np.clip(np.rint(clean(p) / 0.0207), -128, 127).astype(np.int8),
    "NV12 and back": lambda p: chw(normalized(_nv12(letterbox(p)))),
    "JPEG again": lambda p: chw(normalized(_jpeg(letterbox(p)))),
}


def _blocked(hwc: Tensor) -> Tensor:
    blocked = np.zeros((1, 1, SIDE, SIDE, 16), np.float32)
    blocked[0, 0, :, :, :3] = hwc
    return blocked


def _nv12(rgb: Picture) -> Picture:
    planes = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 0.01), cv2.COLOR_RGB2YUV_I420)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)


_SHARP = [
    cv2.IMWRITE_JPEG_QUALITY,
    98,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


def _jpeg(rgb: Picture) -> Picture:
    _, code = cv2.imencode(".jpg", rgb[..., ::-1], _SHARP)
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


def alarms(result: CheckResult) -> tuple[str, ...]:
    return tuple(sorted(f.slug for f in result.findings if f.status in ("warn", "fail")))


def seen(result: CheckResult, slug: str) -> str:
    return next(f.seen for f in result.findings if f.slug == slug)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Picture, Path]]:
    folder = tmp_path_factory.mktemp("bench")
    found = []
    for seed, size in enumerate(SIZES):
        rgb = render(seed, *size)
        path = folder / f"scene{seed}.png"
        Image.fromarray(rgb).save(path)
        found.append((rgb, path))
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_raises_exactly_its_slug(
    scenes: list[tuple[Picture, Path]], name: str
) -> None:
    slugs, plant = FAULTS[name]
    spec = PreprocessSpec.parse(REFERENCE)
    for rgb, path in scenes:
        result = check_picture(path, plant(rgb), spec)
        if name == "area" and rgb.shape[0] + rgb.shape[1] == 1120:
            assert alarms(result) == ()
            assert "cv2 area" in seen(result, "not-identifiable")
        else:
            assert alarms(result) == tuple(sorted(slugs)), path.name


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_raise_no_alarm(scenes: list[tuple[Picture, Path]], name: str) -> None:
    spec = PreprocessSpec.parse(REFERENCE)
    for rgb, path in scenes:
        assert alarms(check_picture(path, CONTROLS[name](rgb), spec)) == (), path.name
