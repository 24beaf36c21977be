"""Every pipeline against cv2, Pillow or the published reference code, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qdebug.bounds import unpacking
from qdebug.errors import InputError
from qdebug.preprocess import (
    PreprocessSpec,
    picture_of_tensor,
    picture_of_values,
    prepare,
    prepare_file,
    thumbnail,
)

from .conftest import Picture, render

Save = Callable[..., Path]


def run(path: Path, text: str) -> NDArray[Any]:
    return prepare_file(path, PreprocessSpec.parse(text)).tensor


def ultralytics_letterbox(
    im: Picture, new_shape: tuple[int, int], scaleup: bool = True, auto: bool = False
) -> Picture:
    """Ultralytics' LetterBox, as published."""
    shape = im.shape[:2]
    r = min(new_shape[0] / shape[0], new_shape[1] / shape[1])
    if not scaleup:
        r = min(r, 1.0)
    unpad = round(shape[1] * r), round(shape[0] * r)
    dw, dh = float(new_shape[1] - unpad[0]), float(new_shape[0] - unpad[1])
    if auto:
        dw, dh = float(np.mod(dw, 32)), float(np.mod(dh, 32))
    dw, dh = dw / 2, dh / 2
    if shape[::-1] != unpad:
        im = np.asarray(cv2.resize(im, unpad, interpolation=cv2.INTER_LINEAR), np.uint8)
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    border = cv2.copyMakeBorder(
        im, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    return np.asarray(border, np.uint8)


def chw(hwc: NDArray[Any]) -> NDArray[Any]:
    planes: NDArray[Any] = hwc.transpose(2, 0, 1)
    return planes[None]


@pytest.mark.parametrize("size", [(810, 607), (300, 641), (640, 640), (1281, 33), (123, 97)])
@pytest.mark.parametrize("target", [(640, 640), (384, 640)])
def test_letterbox_is_ultralytics_bit_for_bit(
    save: Save, size: tuple[int, int], target: tuple[int, int]
) -> None:
    path = save(render(1, *size))
    boxed = ultralytics_letterbox(np.asarray(cv2.imread(str(path)), np.uint8), target)
    expected = chw(boxed[..., ::-1]).astype(np.float32) / 255
    made = run(path, f"letterbox {target[1]}x{target[0]} pad 114 | rgb | /255 | nchw")
    assert made.dtype == np.float32
    assert np.array_equal(made, expected)


@pytest.mark.parametrize(
    ("option", "arguments"), [("stride 32", {"auto": True}), ("no-upscale", {"scaleup": False})]
)
def test_letterbox_options_are_ultralytics(
    save: Save, option: str, arguments: dict[str, bool]
) -> None:
    path = save(render(1, 500, 333))
    bgr = np.asarray(cv2.imread(str(path)), np.uint8)
    expected = ultralytics_letterbox(bgr, (640, 640), **arguments)
    made = run(path, f"letterbox 640 pad 114 {option} | bgr | uint8 | nhwc")
    assert np.array_equal(made[0], expected)


def test_yolox_letterbox_is_top_left_and_truncates(save: Save, picture: Picture) -> None:
    path = save(picture)
    bgr = cv2.imread(str(path))
    assert bgr is not None
    r = min(416 / bgr.shape[0], 416 / bgr.shape[1])
    expected = np.full((416, 416, 3), 114, np.uint8)
    inner = cv2.resize(bgr, (int(bgr.shape[1] * r), int(bgr.shape[0] * r)))
    expected[: inner.shape[0], : inner.shape[1]] = inner
    assert np.array_equal(run(path, "yolox 416"), chw(expected).astype(np.float32))


@pytest.mark.parametrize("size", [(810, 607), (300, 641), (256, 300), (200, 150)])
@pytest.mark.parametrize(("name", "method"), [("bilinear", 2), ("bicubic", 3), ("lanczos", 1)])
def test_torchvision_evaluation_is_pillows(
    save: Save, size: tuple[int, int], name: str, method: int
) -> None:
    path = save(render(2, *size))
    image = Image.open(path).convert("RGB")
    width, height = image.size
    short, long = min(size), max(size)
    longer = int(256 * long / short)
    image = image.resize((256, longer) if width <= height else (longer, 256), method)
    left, top = round((image.width - 224) / 2.0), round((image.height - 224) / 2.0)
    image = image.crop((left, top, left + 224, top + 224))
    values = np.asarray(image).astype(np.float32) / np.float32(255)
    mean, std = (
        np.array([0.485, 0.456, 0.406], np.float32),
        np.array([0.229, 0.224, 0.225], np.float32),
    )
    made = run(path, "imagenet | nchw".replace("imagenet", _imagenet(name)))
    assert np.array_equal(made, chw((values - mean) / std))


def _imagenet(name: str) -> str:
    return (
        f"decode pil exif ignore | resize 256 pil {name} | center-crop 224 | rgb | /255"
        " | mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
    )


CV2 = {
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
    "nearest-exact": cv2.INTER_NEAREST_EXACT,
    "linear-exact": cv2.INTER_LINEAR_EXACT,
}


@pytest.mark.parametrize("name", CV2)
def test_cv2_filters(save: Save, picture: Picture, name: str) -> None:
    expected = cv2.resize(
        np.ascontiguousarray(picture[..., ::-1]), (416, 320), interpolation=CV2[name]
    )
    made = run(save(picture), f"resize 416x320 cv2 {name} | bgr | uint8 | nhwc")
    assert np.array_equal(made[0], expected)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_pillow_filters(save: Save, picture: Picture, name: str) -> None:
    method = Image.Resampling[name.upper()]
    expected = np.asarray(Image.fromarray(picture).resize((416, 320), method))
    made = run(save(picture), f"resize 416x320 pil {name} | rgb | uint8 | nhwc")
    assert np.array_equal(made[0], expected)


def test_float_filters_sample_their_own_grids() -> None:
    ramp = np.repeat(np.arange(5, dtype=np.uint8)[None, :, None] * 10, 2, axis=0).repeat(3, axis=2)
    rows = {
        name: prepare(ramp, "rgb", PreprocessSpec.parse(f"resize 3x2 float {name} | rgb | nhwc"))
        for name in ("linear", "align-corners", "asymmetric")
    }
    assert rows["linear"].tensor[0, 0, :, 0] == pytest.approx([10 / 3, 20, 110 / 3], abs=1e-4)
    assert rows["align-corners"].tensor[0, 0, :, 0] == pytest.approx([0, 20, 40])
    assert rows["asymmetric"].tensor[0, 0, :, 0] == pytest.approx([0, 50 / 3, 100 / 3], abs=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("library", ["cv2", "pil"])
def test_exif_orientation(save: Save, library: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(render(3, 64, 40), "turned.jpg", quality=95, exif=exif)
    plain = Image.open(path)
    turned = np.asarray(ImageOps.exif_transpose(plain).convert("RGB"), np.int16)
    ignored = np.asarray(plain.convert("RGB"), np.int16)
    applied = run(path, f"decode {library} exif apply | rgb | uint8 | nhwc")[0].astype(np.int16)
    kept = run(path, f"decode {library} exif ignore | rgb | uint8 | nhwc")[0].astype(np.int16)
    assert applied.shape == turned.shape
    assert np.abs(applied - turned).max() <= 3
    assert np.abs(kept - ignored).max() <= 3


def test_gray_follows_the_decoding_library(save: Save, picture: Picture) -> None:
    path = save(picture)
    by_cv2 = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    by_pil = np.asarray(Image.fromarray(picture).convert("L"))
    assert np.array_equal(run(path, "gray | uint8 | nhwc")[0, ..., 0], by_cv2)
    assert np.array_equal(run(path, "decode pil | gray | uint8 | nhwc")[0, ..., 0], by_pil)
    three = run(path, "gray 3 | uint8 | nchw")
    assert three.shape[1] == 3
    assert np.array_equal(three[0, 2], by_cv2)


def test_arithmetic_runs_in_float32_in_the_order_written(picture: Picture) -> None:
    made = prepare(picture, "rgb", PreprocessSpec.parse("rgb | mean 1,2,3 std 4,5,6 | nchw")).tensor
    mean, std = np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)
    assert np.array_equal(made, chw((picture.astype(np.float32) - mean) / std))
    half = prepare(picture, "rgb", PreprocessSpec.parse("rgb | /255 | float16 | nchw")).tensor
    assert np.array_equal(half, chw(picture.astype(np.float32) / 255).astype(np.float16))


def test_integer_contracts(picture: Picture) -> None:
    signed = prepare(picture, "rgb", PreprocessSpec.parse("rgb | offset -128 | int8 | nhwc")).tensor
    assert signed.dtype == np.int8
    assert np.array_equal(signed[0], (picture.astype(np.int16) - 128).astype(np.int8))
    misread = prepare(picture, "rgb", PreprocessSpec.parse("rgb | uint8 | reinterpret int8 | nhwc"))
    assert np.array_equal(misread.tensor[0], picture.view(np.int8))


def test_alignment_pads_at_the_end(picture: Picture) -> None:
    spec = PreprocessSpec.parse("rgb | align width 16 value 7 | align channel 4 | uint8 | nhwc")
    made = prepare(picture, "rgb", spec).tensor[0]
    assert made.shape == (607, 816, 4)
    assert np.array_equal(made[:, :810, :3], picture)
    assert (made[:, 810:, 0] == 7).all()
    assert (made[..., 3] == 0).all()


def test_channel_blocks(picture: Picture) -> None:
    made = prepare(picture, "rgb", PreprocessSpec.parse("rgb | uint8 | nc1hwc2 16")).tensor
    assert made.shape == (1, 1, 607, 810, 16)
    assert np.array_equal(made[0, 0, :, :, :3], picture)
    assert not made[..., 3:].any()


def test_pad_after_normalizing(picture: Picture) -> None:
    spec = PreprocessSpec.parse("fit 640 | rgb | /255 | mean 0.5 std 0.5 | pad 640 value 0 | nchw")
    made = prepare(picture, "rgb", spec).tensor
    before = prepare(
        picture, "rgb", PreprocessSpec.parse("fit 640 | rgb | /255 | mean 0.5 std 0.5")
    )
    height = before.tensor.shape[2]
    top = (640 - height) // 2
    assert np.array_equal(made[:, :, top : top + height], before.tensor)
    assert not made[:, :, :top].any()


def test_nv12_round_trip_is_cv2s_but_for_rounding(picture: Picture) -> None:
    blocks = picture[:200, :300].repeat(2, axis=0).repeat(2, axis=1)
    planes = cv2.cvtColor(blocks, cv2.COLOR_RGB2YUV_I420)
    expected = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420).astype(np.int16)
    made = prepare(blocks, "rgb", PreprocessSpec.parse("rgb | nv12 601 limited | uint8 | nhwc"))
    difference = np.abs(made.tensor[0].astype(np.int16) - expected)
    assert np.percentile(difference, 99) <= 2
    assert difference.max() <= 4


def test_crop_smaller_pictures_are_padded_as_torchvision_does(save: Save) -> None:
    small = render(4, 30, 41)
    made = run(save(small), "rgb | center-crop 50x40 | uint8 | nhwc")[0]
    assert made.shape == (40, 50, 3)
    assert np.array_equal(made[:, 10:40], small[0:40])
    assert not made[:, :10].any()


@pytest.mark.parametrize(
    "text",
    [
        "letterbox 640 pad 114 | rgb | /255 | nchw",
        "letterbox 320x256 top-left | rgb | nchw",
        "resize 300 cv2 linear | center-crop 224 | rgb | nchw",
        "resize 200x300 | flip horizontal | rgb | nchw",
        "rotate 90 | resize 200x300 | rgb | nchw",
        "rotate 270 | flip vertical | letterbox 256 | rgb",
    ],
)
def test_geometry_leads_from_the_tensor_back_to_the_source(text: str) -> None:
    source = np.zeros((400, 500, 3), np.uint8)
    source[180:220, 240:300, 1] = 255
    made = prepare(source, "rgb", PreprocessSpec.parse(f"{text}"))
    mask = made.tensor[0, 1] > made.tensor[0, 1].max() / 2
    mask &= made.tensor[0, 0] < made.tensor[0, 1]
    ys, xs = np.nonzero(mask)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float64)
    back = made.geometry.to_source(box)[0]
    assert back == pytest.approx([240, 180, 300, 220], abs=2.5)
    assert made.geometry.source == (500, 400)
    assert made.geometry.target == made.tensor.shape[:1:-1]


def test_the_picture_of_a_tensor_is_the_picture_before_the_arithmetic(picture: Picture) -> None:
    for text in ("imagenet", "resize 224x224 | bgr | mean 100,110,120 std 50,60,70 | nhwc"):
        spec = PreprocessSpec.parse(text)
        plain = PreprocessSpec.parse(f"{' | '.join(text.split(' | ')[:1])} | nchw")
        shown = picture_of_tensor(prepare(picture, "rgb", spec).tensor, spec)
        before = prepare(picture, "rgb", plain if text != "imagenet" else _only_geometry(spec))
        order = before.order
        expected = before.tensor[0].transpose(1, 2, 0)
        assert np.array_equal(shown, expected if order == "rgb" else expected[..., ::-1])


def test_a_tensor_of_one_channel_is_shown_by_a_pipeline_of_three() -> None:
    """As where the pipeline given is not the model's."""
    tensor = np.full((1, 1, 2, 2), 0.2, np.float32)
    shown = picture_of_tensor(tensor, PreprocessSpec.parse("rgb | scale 1/255 | nchw"))
    assert (shown == 51).all()


def test_what_is_not_finite_is_shown_black_or_at_an_end() -> None:
    tensor = np.full((1, 3, 2, 2), 0.2, np.float32)
    tensor[0, :, 0, 0], tensor[0, :, 0, 1], tensor[0, :, 1, 0] = np.nan, np.inf, -np.inf
    given = tensor.copy()
    shown = picture_of_tensor(tensor, PreprocessSpec.parse("rgb | scale 1/255 | nchw"))
    assert shown[..., 0].tolist() == [[0, 255], [0, 51]]
    np.testing.assert_array_equal(tensor, given)


def _only_geometry(spec: PreprocessSpec) -> PreprocessSpec:
    return PreprocessSpec((spec.decode, *spec.geometry))


def test_tensors_of_unknown_origin_are_shown_by_their_range() -> None:
    tensor = np.linspace(-2, 2, 3 * 8 * 9, dtype=np.float32).reshape(1, 3, 8, 9)
    shown = picture_of_values(tensor)
    assert shown is not None
    assert shown.shape == (8, 9, 3)
    assert (shown.min(), shown.max()) == (0, 255)
    assert picture_of_values(np.zeros((1, 77), np.int64)) is None
    assert thumbnail(np.zeros((600, 300, 3), np.uint8), 100).shape == (100, 50, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("letterbox model | rgb", "size from the model"),
        ("rgb | pad 64", "cannot be padded"),
        ("crop 900x10 | rgb", "leaves the picture"),
        ("letterbox 640 pad 1,2 | rgb", "2 pad values"),
        ("rgb | mean 1,2 std 1,2", "2 values"),
        ("rgb | /255 | nv12 601 limited", "8 bits"),
        ("rgb | /255 | reinterpret int8", "8-bit"),
    ],
)
def test_steps_that_cannot_be_carried_out_say_why(
    picture: Picture, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prepare(picture, "rgb", PreprocessSpec.parse(text))


def test_a_cut_jpeg_is_refused_by_both_readers(save: Save, picture: Picture) -> None:
    path = save(picture, "cut.jpg", quality=95)
    path.write_bytes(path.read_bytes()[:4000])
    for library in ("cv2", "pil"):
        with pytest.raises(InputError, match=r"cut\.jpg is damaged"):
            run(path, f"decode {library} | rgb")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "empty.png is empty"),
        ("text.jpg", b"hello, I am no picture", "not a picture"),
        ("phone.heic", b"\0\0\0\x18ftypheic", "is HEIC"),
    ],
)
def test_unreadable_pictures(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for library in ("cv2", "pil"):
        with pytest.raises(InputError, match=message):
            run(path, f"decode {library} | rgb")
    with pytest.raises(InputError, match="cannot be read"):
        run(tmp_path / "none.png", "rgb")


@pytest.mark.parametrize(
    "text",
    [
        "resize 99999999x9",
        "resize 99999999",
        "letterbox 99999x99999",
        "resize 32x32 pil bilinear | align width 99999999",
        "rgb | nc1hwc2 2000000000",
        "center-crop 999999x999999",
        "float32 | pad 99999999x999",
    ],
)
def test_a_step_makes_no_more_than_the_bound(picture: NDArray[np.uint8], text: str) -> None:
    with pytest.raises(InputError, match="more than 256 MiB") as caught:
        prepare(picture, "rgb", PreprocessSpec.parse(text))
    assert "--max-unpacked" in (caught.value.hint or "")


def test_the_bound_of_a_step_can_be_moved(picture: NDArray[np.uint8]) -> None:
    spec = PreprocessSpec.parse("resize 100x100 | uint8 | nhwc")
    with unpacking(30_000):
        assert prepare(picture, "rgb", spec).tensor.size == 30_000
    with unpacking(29_999), pytest.raises(InputError, match="100x100"):
        prepare(picture, "rgb", spec)
