from __future__ import annotations

from pathlib import Path

import pytest

from qdebug.errors import InputError
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.differences import differences
from qdebug.vendors import dialects
from qdebug.vendors.reference import read_spec
from qdebug.vendors.registry import toolchains

HORIZON = """
model_parameters:
  onnx_model: 'yolov5s.onnx'   # comment
input_parameters:
  input_name: "images"
  input_type_rt: '{rt}'
  input_layout_rt: ''
  input_type_train: 'rgb'
  input_layout_train: 'NCHW'
  input_shape: '1x3x672x640'
  norm_type: '{norm}'
  mean_value: '123.675 116.28 103.53'
  scale_value: 0.003921568627451
"""
AIPP = """aipp_op {
  aipp_mode: static
  input_format : YUV420SP_U8
  csc_switch : true
  matrix_r0c0 : 256
  matrix_r0c1 : 0
  matrix_r0c2 : 359
  matrix_r1c0 : 256
  matrix_r2c1 : 454
  crop: true
  load_start_pos_h : 5
  load_start_pos_w : 7
  crop_size_w : 224
  crop_size_h : 200
  min_chn_0 : 123.675
  min_chn_1 : 116.28
  min_chn_2 : 103.53
  var_reci_chn_0: 0.0171247538316637
  var_reci_chn_1: 0.0175070028011204
  var_reci_chn_2: 0.0174291938997821
}"""
HUGGINGFACE = """{"do_resize": true, "size": {"shortest_edge": 256}, "resample": 3,
 "do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "do_rescale": true,
 "rescale_factor": 0.00392156862745098, "do_normalize": true,
 "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"""
TIMM = """{"architecture": "x", "pretrained_cfg": {"input_size": [3, 240, 240],
 "interpolation": "bicubic", "crop_pct": 0.95, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"""
IMAGENET = "mean 0.485,0.456,0.406 std 0.229,0.224,0.225"

EXAMPLES = [
    (
        "ncnn",
        "ncnn2table a.param a.bin list.txt a.table mean=[104,117,123] norm=[0.017,0.017,0.017]"
        " shape=[640,640,3] pixel=BGR thread=8 method=kl",
        "resize 640x640 cv2 linear | bgr | mean 104,117,123 scale 0.017,0.017,0.017 | nchw",
    ),
    (
        "tpu_mlir",
        "model_transform --model_name y --input_shapes [[1,3,640,640]] --mean 0.0,0.0,0.0"
        " --scale 0.0039216,0.0039216,0.0039216 --keep_aspect_ratio --pixel_format rgb",
        "letterbox 640 pad 0 floor | rgb | scale 0.0039216,0.0039216,0.0039216 | nchw",
    ),
    (
        "tpu_mlir",
        "--input_shapes [[1,3,224,224]] --resize_dims 256,256 --mean 123.675,116.28,103.53"
        " --scale 0.0171,0.0175,0.0174",
        "resize 256x256 cv2 linear | center-crop 224 | bgr"
        " | mean 123.675,116.28,103.53 scale 0.0171,0.0175,0.0174 | nchw",
    ),
    (
        "sophgo",
        "resize_h=640,resize_w=640;scale=0.003921569,bgr2rgb=True",
        "resize 640x640 cv2 linear | rgb | scale 0.003921569 | nchw",
    ),
    (
        "horizon",
        HORIZON.format(rt="nv12", norm="data_scale"),
        "resize 640x672 cv2 linear | rgb | mean 0 scale 0.003921568627451 | nchw",
    ),
    (
        "horizon",
        HORIZON.format(rt="rgb_128", norm="no_preprocess"),
        "resize 640x672 cv2 linear | rgb | nchw",
    ),
    (
        "rknn",
        "rknn.config(mean_values=[[123.675, 116.28, 103.53]], std_values=[[58.395, 57.12, 57.375]],"
        " quant_img_RGB2BGR=True, target_platform='rk3588')",
        "bgr | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw",
    ),
    (
        "aipp",
        AIPP,
        "crop 224x200 at 7,5 | rgb | nv12 601 full | mean 123.675,116.28,103.53"
        " scale 0.0171247538316637,0.0175070028011204,0.0174291938997821 | nchw",
    ),
    (
        "openvino",
        "--mean_values [123.675,116.28,103.53] --scale_values [58.395,57.12,57.375]"
        " --reverse_input_channels",
        "rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw",
    ),
    (
        "ultralytics",
        "description: Ultralytics YOLOv8n\nstride: 32\ntask: detect\n"
        "imgsz:\n- 384\n- 640\nnames:\n",
        "letterbox 640x384 pad 114 | rgb | /255 | nchw",
    ),
    (
        "huggingface",
        HUGGINGFACE,
        "decode pil exif ignore | resize 256 pil bicubic | center-crop 224 floor | rgb | /255"
        f" | {IMAGENET} | nchw",
    ),
    (
        "timm",
        TIMM,
        "decode pil exif ignore | resize 252 pil bicubic | center-crop 240 | rgb | /255"
        " | mean 0.5,0.5,0.5 std 0.5,0.5,0.5 | nchw",
    ),
    (
        "torchvision",
        "crop_size=224 resize_size=232 interpolation=InterpolationMode.BILINEAR",
        "decode pil exif ignore | resize 232 pil bilinear | center-crop 224 | rgb | /255"
        f" | {IMAGENET} | nchw",
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), EXAMPLES)
def test_what_the_user_already_has_becomes_a_spec(name: str, text: str, expected: str) -> None:
    assert str(read_spec(f"{name}:{text}").spec) == expected


@pytest.mark.parametrize("name", [vendor.name for vendor in toolchains("dialect")])
@pytest.mark.parametrize(
    "text",
    [
        "letterbox 640 pad 114 | rgb | /255 | nchw",
        "letterbox 640 pad 0 floor | bgr | mean 127.5 std 128 | nchw",
        "resize 320x240 cv2 linear | bgr | mean 104,117,123 scale 0.017 | nchw",
        "resize 640x640 cv2 linear | rgb | /255 | nchw",
        "imagenet",
    ],
)
def test_what_a_dialect_writes_it_reads_back_as_the_same_pipeline(name: str, text: str) -> None:
    spec = PreprocessSpec.parse(text)
    dialect = dialects.dialect(name)
    written = dialect.write(spec)
    if written is None:
        return
    again = dialect.read(written).spec
    serious = [d for d in differences(spec, again) if d.weight == "mistake"]
    geometry_is_the_users = {"horizon", "rknn", "ascend", "openvino"}
    allowed = {"resize-geometry", "interpolation", "pad-value", "flip-rotate"}
    if name == "openvino" and spec.order == "bgr":
        allowed |= {"channel-order"}
    assert {d.slug for d in serious} <= (allowed if name in geometry_is_the_users else set())


def test_each_dialect_writes_something() -> None:
    specs = [
        "letterbox 640 pad 114 | rgb | /255 | nchw",
        "resize 640x640 cv2 linear | rgb | /255 | nchw",
        "imagenet",
        "rgb | /255 | nchw",
    ]
    titles = {t for text in specs for t in dialects.write_all(PreprocessSpec.parse(text))}
    assert titles == {dialects.dialect(vendor.name).title for vendor in toolchains("dialect")}


def test_the_recipe_that_many_copy_is_named() -> None:
    reading = dialects.read(
        "ncnn:mean=[104,117,123] norm=[0.017,0.017,0.017] pixel=BGR shape=[640,640,3]"
    )
    assert "Caffe" in " ".join(reading.notes)
    yolo = PreprocessSpec.parse("yolo 640")
    named = {d.slug: d.sentence for d in differences(yolo, reading.spec)}
    assert named.keys() == {"channel-order", "missing-normalization", "resize-geometry"}
    assert "ncnn's example for Caffe models" in named["missing-normalization"]


def test_what_the_device_is_fed_is_told_apart_from_what_the_float_model_is_fed() -> None:
    nv12 = dialects.read("horizon:" + HORIZON.format(rt="nv12", norm="data_mean_and_scale"))
    assert "do not do it again" in nv12.notes[0]
    assert str(nv12.runtime).endswith("nv12 601 full | uint8 | nhwc")
    shifted = dialects.read("horizon:" + HORIZON.format(rt="bgr_128", norm="data_scale"))
    assert str(shifted.runtime).endswith("bgr | offset -128 | int8 | nhwc")


def test_settings_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(HORIZON.format(rt="rgb", norm="data_scale"))
    assert str(read_spec(f"horizon:{path}").spec).startswith("resize 640x672")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("ncnn:hello", "no ncnn2table setting"),
        ("ncnn:mean=[1] pixel=YUV", "pixel=YUV"),
        ("horizon:" + HORIZON.format(rt="rgb", norm="everything"), "norm_type 'everything'"),
        ("horizon:none.yaml", "none.yaml does not exist"),
        ("huggingface:{", "no JSON"),
        ('huggingface:{"a": 1}', "no preprocessing configuration"),
        ("aipp:{}", "no AIPP setting"),
        ("rknn:mean_values=[[0,0,x]]", "not a number"),
    ],
)
def test_errors_are_sentences(argument: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_spec(argument)
    assert message in caught.value.message
