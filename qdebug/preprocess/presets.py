"""Named pipelines; each is shorthand for a spec that is always shown in full."""

from __future__ import annotations

_MEAN, _STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
_CROP_224 = f"center-crop 224 | rgb | /255 | mean {_MEAN} std {_STD} | nchw"
_PIL = "decode pil exif ignore"

PRESETS: dict[str, str] = {
    "imagenet": f"{_PIL} | resize 256 pil bilinear | {_CROP_224}",
    "imagenet-cv2": f"resize 256 cv2 linear | {_CROP_224}",
    "torchvision": f"{_PIL} | resize 232 pil bilinear | {_CROP_224}",
    "timm": f"{_PIL} | resize 256 pil bicubic | {_CROP_224}",
    "clip": (
        f"{_PIL} | resize 224 pil bicubic | center-crop 224 | rgb | /255"
        " | mean 0.48145466,0.4578275,0.40821073 std 0.26862954,0.26130258,0.27577711 | nchw"
    ),
    "yolo": "letterbox model pad 114 | rgb | /255 | nchw",
    "yolox": "letterbox model pad 114 top-left floor | bgr | nchw",
    "tf": f"{_PIL} | resize model pil bilinear | rgb | /127.5 | offset -1 | nhwc",
    "inception": (
        f"{_PIL} | resize 341 pil bicubic | center-crop 299 | rgb | /255 | mean 0.5 std 0.5 | nchw"
    ),
    "caffe": "resize model cv2 linear | bgr | mean 103.939,116.779,123.68 | nchw",
    "ssd": "resize model cv2 linear | rgb | mean 127.5 std 127.5 | nchw",
}
"""Spec text by preset name. ``model`` in a size is the size of the model's input."""

DESCRIPTIONS: dict[str, str] = {
    "imagenet": "torchvision's classic ImageNet evaluation: Pillow, shorter side 256, crop 224",
    "imagenet-cv2": "the same with cv2 reading and resizing, as deployments do",
    "torchvision": "torchvision's IMAGENET1K_V2 weights of ResNet-50: shorter side 232",
    "timm": "timm's default evaluation with bicubic, crop share 0.875",
    "clip": "OpenAI CLIP's image processor",
    "yolo": "Ultralytics YOLOv5 to YOLO11: letterbox, RGB, 0..1",
    "yolox": "Megvii YOLOX: letterbox at the top left, BGR, 0..255",
    "tf": "Keras 'tf' mode: -1..1, NHWC",
    "inception": "timm's inception_v3.tf_in1k: crop 299 of 341, -1..1",
    "caffe": "Keras 'caffe' mode and VGG: BGR minus the mean pixel",
    "ssd": "SSD-MobileNet: stretched, -1..1",
}
