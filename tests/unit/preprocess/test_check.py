"""Naming planted preprocessing mistakes, on rendered pictures.

``python -m benchmarks.preprocess`` does the same with more pictures, and with photos.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from qdebug.preprocess import PreprocessSpec, prepare
from qdebug.preprocess.check import CheckResult, check_picture, check_tensor
from qdebug.preprocess.steps import Align, Letterbox
from tests.support.preprocess_faults import (
    CONTROLS,
    FAULTS,
    MEAN,
    STD,
    Picture,
    Target,
    alarms,
    chw,
    missed,
    normalized,
    render,
)

SIDE = 320
TARGET = Target(SIDE)
REFERENCE = TARGET.reference
SIZES = [(810, 607), (427, 640)]

clean, letterbox = TARGET.clean, TARGET.letterbox


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


@pytest.mark.parametrize("name", [*FAULTS, *CONTROLS])
def test_faults_raise_exactly_their_slugs_and_controls_none(
    scenes: list[tuple[Picture, Path]], name: str
) -> None:
    spec = PreprocessSpec.parse(REFERENCE)
    plant = FAULTS[name].make if name in FAULTS else CONTROLS[name]
    for rgb, path in scenes:
        assert missed(name, TARGET, rgb, check_picture(path, plant(TARGET, rgb), spec)) == ""


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
    assert alarms(result) == ("row-stride",)
    assert f"stored {wide}x{SIDE}x3 for {SIDE}x{SIDE}" in seen(result, "row-stride")
    align = recovered(result).find(Align)
    assert align is not None
    assert SIDE + -SIDE % align.multiple == wide


def test_padded_nhwc_and_doubled_are_named_together(scenes: list[tuple[Picture, Path]]) -> None:
    rgb, path = scenes[0]
    doubled = (normalized(letterbox(rgb)) - MEAN) / STD
    fed = np.pad(doubled[None], ((0, 0), (0, 0), (0, 16), (0, 0)))
    result = check_picture(path, fed, PreprocessSpec.parse(REFERENCE))
    assert alarms(result) == ("double-normalization", "layout", "row-stride")
    assert "NHWC, stored 336x320x3" in seen(result, "row-stride")
    assert "NHWC" in seen(result, "layout")


def test_before_and_after_the_normalization_are_told_apart(
    scenes: list[tuple[Picture, Path]],
) -> None:
    rgb, path = scenes[0]
    spec = PreprocessSpec.parse(REFERENCE)
    for name in ("before", "after"):
        result = check_picture(path, FAULTS[f"BGR {name}"].make(TARGET, rgb), spec)
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
    fault = FAULTS[name]
    spec = PreprocessSpec.parse(REFERENCE) if stated else None
    assert alarms(check_tensor(clean(rgb), fault.make(TARGET, rgb), spec)) == fault.slugs


@pytest.mark.parametrize("name", ["clean", "float16"])
def test_two_tensors_that_agree(scenes: list[tuple[Picture, Path]], name: str) -> None:
    rgb, _ = scenes[0]
    assert alarms(check_tensor(clean(rgb), CONTROLS[name](TARGET, rgb))) == ()


@pytest.mark.parametrize("name", ["NHWC, labelled", "NC1HWC2", "row stride +16"])
def test_a_layout_that_nobody_declared_otherwise_is_a_remark(
    scenes: list[tuple[Picture, Path]], name: str
) -> None:
    rgb, path = scenes[0]
    fed = FAULTS[name].make(TARGET, rgb)
    unsaid = PreprocessSpec.parse(REFERENCE.removesuffix(" | nchw"))
    slug = FAULTS[name].slugs[0]
    assert alarms(check_picture(path, fed, unsaid)) == ()
    assert "agree under" in seen(check_picture(path, fed, unsaid), slug) or slug == "layout"
    assert alarms(check_picture(path, fed, PreprocessSpec.parse(REFERENCE))) == (slug,)
    declared = check_picture(path, fed, PreprocessSpec.parse(REFERENCE), own_layout=False)
    assert alarms(declared) == ()


def test_soft_differences_are_graded_by_their_effect(scenes: list[tuple[Picture, Path]]) -> None:
    rgb, path = scenes[0]
    fed = FAULTS["nearest"].make(TARGET, rgb)
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


def test_a_crop_of_an_unusual_side_is_found_in_its_place(tmp_path: Path) -> None:
    rgb = render(5, 1024, 683)
    path = tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    result = check_picture(
        path, FAULTS["centre crop"].make(TARGET, rgb), PreprocessSpec.parse(REFERENCE)
    )
    assert alarms(result) == ("resize-geometry",)
    assert "resize 366 cv2 linear | center-crop 320" in str(recovered(result))


def test_a_turned_picture_is_rounded_elsewhere_and_raises_one_finding(tmp_path: Path) -> None:
    rgb = render(3, 500, 333)
    path = tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    spec = PreprocessSpec.parse("resize 366 cv2 linear | center-crop 320 | rgb | /255 | nchw")
    turned = prepare(np.ascontiguousarray(np.rot90(rgb)), "rgb", spec).tensor
    assert alarms(check_picture(path, turned, spec)) == ("flip-rotate",)
    assert alarms(check_picture(path, prepare(rgb, "rgb", spec).tensor, spec)) == ()


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_a_blur_is_no_filter_and_no_compression(tmp_path: Path, sigma: float) -> None:
    rgb = render(5, 500, 333)
    path = tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    spec = PreprocessSpec.parse("resize 256 cv2 linear | center-crop 224 | rgb | /255 | nchw")
    blurred = np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma))
    assert alarms(check_picture(path, prepare(blurred, "rgb", spec).tensor, spec)) == (
        "not-identifiable",
    )
    _, code = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    loss = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]
    tensor = prepare(np.ascontiguousarray(loss), "rgb", spec).tensor
    assert alarms(check_picture(path, tensor, spec)) == ()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("other", ["nothing", "filter", "order", "range -1..1"])
def test_a_gamma_beside_another_fault(tmp_path: Path, before: bool, other: str) -> None:
    rgb = render(7, 500, 333)
    path = tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    table = np.rint(255 * (np.arange(256) / 255) ** 2.2).astype(np.uint8)
    way = cv2.INTER_AREA if other == "filter" else cv2.INTER_LINEAR
    placed = np.asarray(cv2.resize(table[rgb] if before else rgb, (224, 160), interpolation=way))
    pixels = placed if before else table[placed]
    values = pixels[..., ::-1] if other == "order" else pixels
    mean, std = (127.5, 127.5) if other == "range -1..1" else (0.0, 255.0)
    scaled = (values.astype(np.float32) - mean) / std
    fed = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
    spec = PreprocessSpec.parse("resize 224x160 | rgb | /255 | nchw")
    named = {
        "nothing": set(),
        "filter": {"interpolation"},
        "order": {"channel-order"},
        "range -1..1": {"missing-normalization"},
    }[other]
    assert set(alarms(check_picture(path, fed, spec))) == {"gamma", *named}


@pytest.mark.parametrize("curved", [True, False])
def test_beside_a_curve_of_any_form_the_border_is_not_judged(tmp_path: Path, curved: bool) -> None:
    rgb = render(8, 500, 333)
    path = tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    ramp = 1 / (1 + np.exp(-6 * (np.arange(256) / 255 - 0.5)))
    table = np.rint(255 * (ramp - ramp[0]) / (ramp[-1] - ramp[0])).astype(np.uint8)
    spec = PreprocessSpec.parse("letterbox 224 pad 114 | rgb | mean 127.5 std 127.5 | nchw")
    fed = prepare(table[rgb] if curved else rgb, "rgb", spec).tensor
    reference = PreprocessSpec.parse("letterbox 224 pad 114 | rgb | /255 | nchw")
    named = set(alarms(check_picture(path, fed, reference)))
    if curved:
        assert named
        assert "pad-value" not in named
    else:
        assert named == {"missing-normalization"}


def test_a_picture_of_another_scene_is_no_proof_of_a_mistake(
    scenes: list[tuple[Picture, Path]],
) -> None:
    other = check_picture(scenes[0][1], clean(scenes[1][0]), PreprocessSpec.parse(REFERENCE))
    assert other.status == "warn"
    nothing = np.full((1, 3, SIDE, SIDE), 0.5, np.float32)
    assert check_picture(scenes[0][1], nothing, PreprocessSpec.parse(REFERENCE)).status == "fail"
