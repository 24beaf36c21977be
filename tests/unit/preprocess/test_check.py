"""The bench of planted preprocessing mistakes, on rendered pictures.

Each fault is planted with cv2, Pillow and numpy directly, not with the code under test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qdebug.preprocess import PreprocessSpec, prepare
from qdebug.preprocess.check import CheckResult, check_picture, check_tensor
from qdebug.preprocess.steps import Align, Letterbox

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
    return np.asarray(np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255), np.uint8)


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


def misses(scenes: list[tuple[Picture, Path]], name: str) -> list[str]:
    """Run one fault or control on pictures; return what was not named as it should be."""
    slugs, plant = FAULTS[name] if name in FAULTS else ((), CONTROLS[name])
    spec = PreprocessSpec.parse(REFERENCE)
    missed = []
    for rgb, path in scenes:
        result = check_picture(path, plant(rgb), spec)
        wanted = tuple(sorted(slugs))
        if name == "area" and rgb.shape[0] + rgb.shape[1] == 1120:
            wanted = ()
            assert "cv2 area" in seen(result, "not-identifiable")
        if alarms(result) != wanted:
            missed.append(f"{name} on {path.name}: {alarms(result)}")
    return missed


@pytest.mark.parametrize("name", [*FAULTS, *CONTROLS])
def test_faults_raise_exactly_their_slugs_and_controls_none(
    scenes: list[tuple[Picture, Path]], name: str
) -> None:
    assert misses(scenes[:2], name) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_bench_of_ten_pictures(scenes: list[tuple[Picture, Path]]) -> None:
    missed = {name: misses(scenes, name) for name in (*FAULTS, *CONTROLS)}
    named = {name: len(scenes) - len(missed[name]) for name in FAULTS}
    alarmed = {name: len(missed[name]) for name in CONTROLS}
    for name, count in named.items():
        print(f"{name:<22} {count} of {len(scenes)} named")
    for name, count in alarmed.items():
        print(f"{name:<22} {count} false alarms of {len(scenes)}")
    assert sum(named.values()) >= 0.98 * len(scenes) * len(FAULTS)
    assert not any(alarmed.values())


def recovered(result: CheckResult) -> PreprocessSpec:
    assert result.recovered is not None
    return result.recovered


def test_parameters_are_recovered(scenes: list[tuple[Picture, Path]]) -> None:
    rgb, path = scenes[0]
    spec = PreprocessSpec.parse(REFERENCE)
    for pad in (0, 37, 128, 255):
        found = recovered(check_picture(path, chw(normalized(letterbox(rgb, pad))), spec))
        box = found.find(Letterbox)
        assert box is not None
        assert box.pad == (float(pad),)
    mean, std = (
        np.array([90.0, 101.5, 117.25], np.float32),
        np.array([47.3, 62.1, 71.9], np.float32),
    )
    fed = chw((letterbox(rgb).astype(np.float32) - mean) / std)
    affine = recovered(check_picture(path, fed, spec)).affine
    assert affine.mean == pytest.approx(mean.tolist(), rel=1e-3)
    assert affine.std == pytest.approx(std.tolist(), rel=1e-3)


@pytest.mark.parametrize(("wide", "multiple"), [(336, 336), (384, 128), (352, 32), (512, 512)])
def test_alignment_is_given_in_the_vendors_terms(
    scenes: list[tuple[Picture, Path]], wide: int, multiple: int
) -> None:
    rgb, path = scenes[0]
    fed = np.pad(clean(rgb), ((0, 0), (0, 0), (0, 0), (0, wide - SIDE)))
    result = check_picture(path, fed, PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == ()
    assert f"stored {wide}x{SIDE}x3 for {SIDE}x{SIDE}" in seen(result, "row-stride")
    align = recovered(result).find(Align)
    assert align is not None
    assert SIDE + -SIDE % align.multiple == wide


def test_padded_nhwc_and_doubled_are_named_together(scenes: list[tuple[Picture, Path]]) -> None:
    rgb, path = scenes[0]
    doubled = (normalized(letterbox(rgb)) - MEAN) / STD
    fed = np.pad(doubled[None], ((0, 0), (0, 0), (0, 16), (0, 0)))
    result = check_picture(path, fed, PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == ("double-normalization",)
    assert "NHWC, stored 336x320x3" in seen(result, "row-stride")
    assert "NHWC" in seen(result, "layout")


def test_before_and_after_the_normalization_are_told_apart(
    scenes: list[tuple[Picture, Path]],
) -> None:
    rgb, path = scenes[0]
    spec = PreprocessSpec.parse(REFERENCE)
    for name in ("before", "after"):
        result = check_picture(path, FAULTS[f"BGR {name}"][1](rgb), spec)
        assert f"{name} the normalization" in seen(result, "channel-order")


def test_a_gray_picture_cannot_tell_the_order(tmp_path: Path) -> None:
    gray = np.repeat(render(0, 500, 400)[..., :1], 3, axis=2)
    path = tmp_path / "gray.png"
    Image.fromarray(gray).save(path)
    spec = PreprocessSpec.parse(REFERENCE)
    right = check_picture(path, clean(gray), spec)
    assert alarms(right) == ()
    assert "order of the channels" in seen(right, "not-identifiable")
    after = check_picture(path, clean(gray)[:, ::-1], spec)
    assert alarms(after) == ("not-identifiable",)
    assert "R and B swapped after the normalization; mean and std" in seen(
        after, "not-identifiable"
    )


def test_a_square_picture_cannot_tell_the_padding(tmp_path: Path) -> None:
    square = render(1, 500, 500)
    path = tmp_path / "square.png"
    Image.fromarray(square).save(path)
    result = check_picture(path, clean(square), PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == ()
    told = seen(result, "not-identifiable")
    assert "letterbox or a stretch" in told
    assert "value of the padding" in told


def test_a_picture_that_is_not_resized_cannot_tell_the_filter(tmp_path: Path) -> None:
    same = render(1, SIDE, 200)
    path = tmp_path / "same.png"
    Image.fromarray(same).save(path)
    result = check_picture(path, clean(same), PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == ()
    assert "the resampling filter (the picture is not resized)" in seen(result, "not-identifiable")


@pytest.mark.parametrize("applied", [True, False])
def test_an_ignored_exif_orientation_is_named(tmp_path: Path, applied: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(render(2, 600, 400)).save(path, quality=97, subsampling=0, exif=exif)
    flags = cv2.IMREAD_COLOR if applied else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imread(str(path), flags)
    assert bgr is not None
    fed = clean(np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8))
    result = check_picture(path, fed, PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == (() if applied else ("flip-rotate",))
    if not applied:
        assert "EXIF orientation ignored" in seen(result, "flip-rotate")


def test_another_picture_is_refused(scenes: list[tuple[Picture, Path]]) -> None:
    result = check_picture(scenes[0][1], clean(scenes[1][0]), PreprocessSpec.parse(REFERENCE))
    assert result.recovered is None
    assert alarms(result) == ("not-identifiable",)


def test_without_a_reference_the_pipeline_is_recovered_and_nothing_is_judged(
    scenes: list[tuple[Picture, Path]],
) -> None:
    rgb, path = scenes[0]
    result = check_picture(path, clean(rgb))
    assert alarms(result) == ()
    assert np.allclose(prepare(rgb, "rgb", recovered(result)).tensor, clean(rgb), atol=1e-5)


@pytest.mark.parametrize("name", ["BGR before", "no /255", "normalized twice", "stretch", "pad 0",
                                  "NHWC as NCHW", "mirrored", "gray", "std of 0..255",
                                  "uint8 read as int8", "sheared rows"])  # fmt: skip
@pytest.mark.parametrize("stated", [True, False])
def test_two_tensors_without_the_picture(
    scenes: list[tuple[Picture, Path]], name: str, stated: bool
) -> None:
    rgb, _ = scenes[0]
    slugs, plant = FAULTS[name]
    spec = PreprocessSpec.parse(REFERENCE) if stated else None
    assert alarms(check_tensor(clean(rgb), plant(rgb), spec)) == slugs


@pytest.mark.parametrize(
    "name", ["clean", "float16", "NHWC, labelled", "NC1HWC2", "row stride +16"]
)
def test_two_tensors_that_agree(scenes: list[tuple[Picture, Path]], name: str) -> None:
    rgb, _ = scenes[0]
    assert alarms(check_tensor(clean(rgb), CONTROLS[name](rgb))) == ()


def test_soft_differences_are_graded_by_their_effect(scenes: list[tuple[Picture, Path]]) -> None:
    rgb, path = scenes[0]
    fed = FAULTS["nearest"][1](rgb)
    spec = PreprocessSpec.parse(REFERENCE)

    def grade(model: Any) -> str:
        result = check_picture(path, fed, spec, model=model)
        return next(f.status for f in result.findings if f.slug == "interpolation")

    assert grade(lambda x: [x.mean(axis=(2, 3)) + 100]) == "info"
    assert grade(lambda x: [x + 10]) == "warn"
    assert grade(lambda x: [np.diff(x, axis=3)]) == "fail"


def test_the_integer_contract_of_the_reference_is_checked(
    scenes: list[tuple[Picture, Path]],
) -> None:
    rgb, path = scenes[0]
    spec = PreprocessSpec.parse(f"letterbox {SIDE} pad 114 | rgb | offset -128 | int8 | nhwc")
    pixels = letterbox(rgb).astype(np.int16)[None]
    assert alarms(check_picture(path, (pixels - 128).astype(np.int8), spec)) == ()
    assert alarms(check_picture(path, pixels.astype(np.uint8), spec)) == ("integer-offset",)
    twice = (pixels - 256).astype(np.int16)
    assert alarms(check_picture(path, twice, spec)) == ("integer-offset",)


def test_one_check_at_640_takes_less_than_two_seconds(tmp_path: Path) -> None:
    rgb = render(5, 1280, 853)
    path = tmp_path / "large.jpg"
    Image.fromarray(rgb).save(path, quality=95)
    spec = PreprocessSpec.parse(REFERENCE.replace(str(SIDE), "640"))
    other = PreprocessSpec.parse("resize 640x640 cv2 area | bgr | /255 | nchw")
    fed = prepare(rgb, "rgb", other).tensor
    start = time.process_time()
    result = check_picture(path, fed, spec)
    assert time.process_time() - start < 4
    assert "resize-geometry" in alarms(result)
