from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdebug.errors import InputError
from qdebug.preprocess import PRESETS, PreprocessSpec
from qdebug.preprocess.steps import (
    FILTERS,
    Align,
    Cast,
    CenterCrop,
    Color,
    Crop,
    Decode,
    Flip,
    Layout,
    Letterbox,
    Normalize,
    Offset,
    Pad,
    Reinterpret,
    Resampler,
    Resize,
    ResizeShort,
    Rotate,
    Scale,
    Step,
    Yuv,
)

DETECTOR = "letterbox 640 pad 114 | rgb | /255 | nchw"
REQUIRED = [
    "letterbox 416 pad 114 | rgb | /255 | mean 0.485,0.456,0.406 std 0.229,0.224,0.225 | nchw",
    DETECTOR,
    "resize 416x416 cv2 linear | bgr | mean 103.53,116.28,123.675 std 57.375,57.12,58.395 | nchw",
    "resize 256 pil bilinear | center-crop 224 | rgb"
    " | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw",
]


@pytest.mark.parametrize("text", REQUIRED)
def test_the_texts_people_write_are_already_canonical(text: str) -> None:
    assert str(PreprocessSpec.parse(text)) == text


SIDE = st.integers(1, 4096)
SIZE = st.none() | st.tuples(SIDE, SIDE)
NUMBER = st.floats(-1e6, 1e6, allow_nan=False)
NONZERO = NUMBER.filter(lambda x: x != 0)
RESAMPLER = st.sampled_from(
    [Resampler(lib, name) for lib, names in FILTERS.items() for name in names]
)
ROUNDING = st.sampled_from(["round", "floor", "ceil"])
ANCHOR = st.sampled_from(["center", "top-left"])
YUV = st.tuples(st.sampled_from(["601", "709"]), st.sampled_from(["limited", "full"]))


def values(elements: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(elements, min_size=3, max_size=3).map(tuple) | elements.map(lambda x: (x,))


LETTERBOX = st.builds(
    Letterbox, SIZE, values(NUMBER), RESAMPLER, ANCHOR, ROUNDING, st.booleans(), st.integers(0, 64)
)
FIT = st.builds(
    Letterbox, SIZE, st.none(), RESAMPLER, st.just("center"), ROUNDING, st.booleans(), st.just(0)
)
STEP: st.SearchStrategy[Step] = st.one_of(
    LETTERBOX,
    FIT,
    st.builds(Resize, SIZE, RESAMPLER),
    st.builds(ResizeShort, SIDE, RESAMPLER, ROUNDING),
    st.builds(Pad, SIZE, values(NUMBER), ANCHOR),
    st.builds(CenterCrop, SIZE, st.sampled_from(["round", "floor"])),
    st.builds(Crop, st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE)),
    st.builds(Flip, st.sampled_from(["horizontal", "vertical"])),
    st.builds(Rotate, st.sampled_from([90, 180, 270])),
    st.builds(Yuv, YUV, YUV, st.booleans()),
    st.sampled_from([Color("rgb"), Color("bgr"), Color("gray", 1), Color("gray", 3)]),
    st.builds(Scale, NONZERO, st.booleans()),
    st.builds(Normalize, values(NUMBER), values(NONZERO), st.booleans()),
    st.builds(Offset, st.integers(-1000, 1000)),
    st.builds(Cast, st.sampled_from(["float32", "float16", "uint8", "int8", "int16"])),
    st.builds(Reinterpret, st.sampled_from(["int8", "uint8"])),
    st.builds(Align, st.sampled_from(["width", "height", "channel"]), SIDE, NUMBER),
)
LAYOUT = st.sampled_from([Layout("nchw"), Layout("nhwc"), Layout("hwc"), Layout("nc1hwc2", 16)])
DECODE = st.builds(Decode, st.sampled_from(["cv2", "pil"]), st.booleans())


@st.composite
def specs(draw: st.DrawFn) -> PreprocessSpec:
    steps = draw(st.lists(STEP, min_size=1, max_size=8))
    decode = draw(st.none() | DECODE)
    return PreprocessSpec((*([decode] if decode else []), *steps, draw(LAYOUT)))


@given(specs())
def test_text_and_toml_round_trip(spec: PreprocessSpec) -> None:
    assert PreprocessSpec.parse(str(spec)) == spec
    assert PreprocessSpec.from_toml(spec.to_toml()) == spec


@pytest.mark.parametrize("name", PRESETS)
def test_presets_expand_to_a_spec_that_reads_back(name: str) -> None:
    spec = PreprocessSpec.parse(name)
    assert str(spec) == PRESETS[name]
    assert PreprocessSpec.parse(str(spec)) == spec


def test_a_preset_takes_its_size_from_the_text_or_the_model() -> None:
    assert str(PreprocessSpec.parse("yolo 640")) == DETECTOR
    open_size = PreprocessSpec.parse("yolo")
    assert open_size.needs_size
    assert str(open_size.with_size((640, 640))) == DETECTOR
    assert str(PreprocessSpec.parse("yolo 640x320 | nhwc")) == (
        "letterbox 640x320 pad 114 | rgb | /255 | nhwc"
    )


@pytest.mark.parametrize(
    ("loose", "canonical"),
    [
        ("letterbox 640x640 pad=114 cv2 linear | rgb | /255", "letterbox 640 pad 114 | rgb | /255"),
        ("RGB | mean=[1, 2, 3] norm=[4,5,6]", "rgb | mean 1,2,3 scale 4,5,6"),
        ("scale 1/255", "scale 1/255"),
        ("letterbox 640 centre pad 127.5", "letterbox 640 pad 127.5"),
        ("letterbox 416 top-left floor", "letterbox 416 pad 114 top-left floor"),
        ("resize 320x240 pil linear", "resize 320x240 pil bilinear"),
        ("grey", "gray"),
        ("std 255", "std 255"),
    ],
)
def test_loose_spellings_have_one_canonical_text(loose: str, canonical: str) -> None:
    assert str(PreprocessSpec.parse(loose)) == canonical


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("leterbox 640 | rgb", "leterbox", "letterbox"),
        ("letterbox 640 pda 114", "pda", "pad"),
        ("resize 256 pil bilinaer", "bilinaer", "bilinear"),
        ("rgb | nchv", "nchv", "nchw"),
        ("mean 1 sdt 2", "sdt", "std"),
        ("imagnet", "imagnet", "imagenet"),
        ("letterbox 64O", "64o", "640, or 416x320"),
        ("resize 224 bilinear", "bilinear", "pil bilinear"),
        ("decode opencv", "opencv", "cv2"),
        ("imagenet 640", "640", "stands for"),
        ("mean 1,2 std 1,2,3", "2 values", "one value for all"),
        ("scale 0", "zero", ""),
        ("rgb | decode pil", "decode", ""),
        ("rgb || nchw", "empty step", ""),
        ("letterbox", "lacks a size", ""),
        ("nc1hwc2", "lacks the channels", ""),
        ("rgb nchw", "nchw", "separate the steps"),
        ("resize 9999999999x9", "2147483647 pixels", ""),
        ("crop 9x" + "9" * 5000, "is not a size", "416x320"),
        ("letterbox 640 stride 1e300", "2147483647 pixels", ""),
        ("offset 1e300", "16777216 of zero", ""),
    ],
)
def test_errors_name_the_word_and_the_nearest_one(text: str, word: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        PreprocessSpec.parse(text)
    assert word in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", [*REQUIRED, "yolo 640", "rgb | mean 127.5 scale 1/128 | nhwc"])
def test_equivalent_spellings_compute_the_same(text: str) -> None:
    spec = PreprocessSpec.parse(text)
    expected = spec.affine
    spelled = spec.equivalents()
    assert spelled[0] == str(spec)
    assert len(spelled) >= 4
    for other in spelled:
        affine = PreprocessSpec.parse(other).affine
        assert np.allclose(affine.gain, expected.gain, rtol=1e-6)
        assert np.allclose(affine.offset, expected.offset, rtol=1e-5, atol=1e-6)


def test_the_spellings_of_imagenet_are_the_known_numbers() -> None:
    spelled = " ".join(PreprocessSpec.parse("imagenet").equivalents())
    for number in ("0.485,0.456,0.406", "123.675,116.28,103.53", "58.395,57.12,57.375", "0.017124"):
        assert number in spelled


def test_numbers_stand_in_the_order_of_the_tensor_even_when_it_is_swapped_later() -> None:
    spec = PreprocessSpec.parse("rgb | /255 | mean 0.4,0.5,0.6 std 0.1,0.2,0.3 | bgr | nchw")
    assert spec.affine.mean == pytest.approx((153, 127.5, 102))
    assert all(
        PreprocessSpec.parse(other).affine.mean == pytest.approx((153, 127.5, 102))
        for other in spec.equivalents()
    )


def test_padding_between_two_arithmetic_steps_keeps_its_own_spelling() -> None:
    text = "fit 640 | rgb | /255 | pad 640 value 0 | mean 0.5 std 0.5 | nchw"
    assert PreprocessSpec.parse(text).equivalents() == [text]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("step = 3", "neither"),
        ("[[step]]\nop = 'leterbox'", "leterbox"),
        ("[[step]]\nop = 'letterbox'", "lacks 'size'"),
        ("[[step]]\nop = 'letterbox'\nsize = [1, 1]\npda = 3", "pda"),
        ("[[step", "cannot be read"),
        ("[[step]]\nop = 'resize'\nsize = [4, 4]\nresampler = 'opencv linear'", "opencv"),
    ],
)
def test_toml_errors_are_sentences(toml: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        PreprocessSpec.from_toml(toml)


def test_toml_may_hold_the_text_form() -> None:
    assert str(PreprocessSpec.from_toml(f'[preprocess]\nspec = "{DETECTOR}"')) == DETECTOR
