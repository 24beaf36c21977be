from __future__ import annotations

from pathlib import Path

import pytest

from qdebug.errors import InputError
from qdebug.preprocess import ModelInput, PreprocessSpec, implied_spec, quant_side
from qdebug.vendors.reference import read_spec, resolve_spec

ULTRALYTICS = {"imgsz": "[384, 640]", "stride": "32", "names": "{0: 'person'}", "task": "detect"}


def image(*shape: int | str | None, dtype: str = "float32", name: str = "x") -> ModelInput:
    return ModelInput(name, dtype, shape)


@pytest.mark.parametrize(
    ("item", "metadata", "origin", "text"),
    [
        (
            image(1, 3, "h", "w", name="images"),
            ULTRALYTICS,
            "metadata",
            "letterbox 640x384 pad 114 | rgb | /255 | nchw",
        ),
        (
            image(1, 3, 224, 224),
            ULTRALYTICS | {"task": "classify", "imgsz": "[224, 224]"},
            "metadata",
            "decode cv2 exif apply | resize 224 pil bilinear | center-crop 224 | rgb | /255 | nchw",
        ),
        (
            image("n", 3, 640, 640, name="images"),
            {},
            "assumed",
            "letterbox 640 pad 114 | rgb | /255 | nchw",
        ),
        (
            image(1, 224, 224, 3),
            {},
            "assumed",
            "resize 256 cv2 linear | center-crop 224 | rgb | /255"
            " | mean 0.485,0.456,0.406 std 0.229,0.224,0.225 | nhwc",
        ),
        (image(1, 3, 240, 320), {}, "assumed", "resize 320x240 cv2 linear | rgb | /255 | nchw"),
        (image(1, 1, 32, 100), {}, "assumed", "resize 100x32 cv2 linear | gray | /255 | nchw"),
        (
            image(1, 300, 300, 3, dtype="uint8"),
            {},
            "assumed",
            "resize 300x300 cv2 linear | rgb | uint8 | nhwc",
        ),
        (
            image(1, 3, 416, 416, dtype="int8"),
            {},
            "assumed",
            "resize 416x416 cv2 linear | rgb | offset -128 | int8 | nchw",
        ),
    ],
)
def test_what_a_model_implies(
    item: ModelInput, metadata: dict[str, str], origin: str, text: str
) -> None:
    implied = implied_spec(item, metadata)
    assert (str(implied.spec), implied.origin) == (text, origin)
    assert implied.notes


def test_what_cannot_be_implied_is_said() -> None:
    unsized = implied_spec(image(1, 3, "h", "w"), {})
    assert unsized.spec is None
    assert "no fixed size" in unsized.notes[0]
    tokens = implied_spec(ModelInput("ids", "int64", (1, "seq")), {})
    assert tokens.spec is None
    assert "not a picture" in tokens.notes[0]


@pytest.mark.parametrize(
    ("quant", "text"),
    [
        (image(1, 224, 224, 3), "rgb | /255 | nhwc"),
        (image(1, 224, 224, 3, dtype="uint8"), "rgb | uint8 | nhwc"),
        (image(1, 3, 224, 224, dtype="int8"), "rgb | offset -128 | int8 | nchw"),
        (image(1, 3, 224, 224, dtype="float16"), "rgb | /255 | float16 | nchw"),
        (image(1, 3, 224, 224), "rgb | /255 | nchw"),
    ],
)
def test_the_quant_graphs_own_contract(quant: ModelInput, text: str) -> None:
    spec = PreprocessSpec.parse("rgb | /255 | nchw")
    implied = quant_side(spec, image(1, 3, 224, 224), quant)
    assert str(implied.spec) == text
    assert bool(implied.notes) == (text != str(spec))


def test_the_flag_comes_first_and_takes_its_size_from_the_model() -> None:
    item = image(1, 3, 416, 416)
    given = resolve_spec("yolox", item, ULTRALYTICS)
    assert str(given.spec) == "letterbox 416 pad 114 top-left floor | bgr | nchw"
    assert given.origin == "flag"
    assert given.notes == ("the size 416x416 is the model's",)
    assert resolve_spec(None, item, ULTRALYTICS).origin == "metadata"
    assert resolve_spec("rgb | nchw", item, {}).notes == ()


def test_a_spec_may_come_from_a_file(tmp_path: Path) -> None:
    spec = PreprocessSpec.parse("imagenet")
    path = tmp_path / "prep.toml"
    path.write_text(spec.to_toml())
    assert read_spec(str(path)).spec == spec
    assert read_spec(str(path)).origin == "file"
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_spec(str(tmp_path / "none.toml"))
