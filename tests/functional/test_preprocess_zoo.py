"""The input gate of ``compare`` on real models and photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.functional.conftest import Cli

IMAGENET = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
YOLO = "letterbox 640 pad 114 | rgb | /255 | nchw"
CLASSIFIER = f"resize 256 cv2 linear | center-crop 224 | rgb | {IMAGENET} | nchw"
OCR = "letterbox 640 pad 0 top-left | bgr | mean 127.5 std 127.5 | nchw"
MODELS = {
    "yolov5n": ("quant_qdq_minmax_pc_headfloat", "street/bus.jpg", YOLO),
    "mobilenetv2": ("quant_qdq_minmax_pc", "objects/ILSVRC2012_val_00001123.jpg", CLASSIFIER),
    "ppocrv4_det": ("quant_qdq_minmax_pc", "text/00009282.jpg", OCR),
}
COPIED = "ncnn:mean=[104,117,123] norm=[0.017,0.017,0.017] shape=[640,640,3] pixel=BGR method=kl"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "quant_side", "slugs"),
    [
        ("yolov5n", YOLO, set()),
        ("yolov5n", COPIED, {"channel-order", "missing-normalization", "resize-geometry"}),
        ("mobilenetv2", CLASSIFIER, set()),
        ("mobilenetv2", CLASSIFIER.replace(IMAGENET, "/255"), {"missing-normalization"}),
        ("ppocrv4_det", OCR, set()),
        ("ppocrv4_det", OCR.replace("bgr", "rgb"), {"channel-order"}),
    ],
)
def test_a_wrong_pipeline_of_the_quant_side_fails_at_the_input(
    zoo: Path, tmp_path: Path, cli: Cli, model: str, quant_side: str, slugs: set[str]
) -> None:
    quant, picture, spec = MODELS[model]
    folder = zoo / model
    result = cli(
        "compare", str(folder / "float.onnx"), str(folder / f"{quant}.onnx"),
        str(zoo / "photos" / picture), "-p", spec, "--quant-preprocess", quant_side,
        "--no-local", "--task", "none", "-q", "--json", "-", "-o", str(tmp_path / "run.qdrun"),
    )  # fmt: skip
    run = json.loads(result.out)
    found = {
        f["slug"]
        for f in run["findings"]
        if f["id"].startswith("QD1") and f["status"] in ("warn", "fail")
    }
    assert found == slugs
    assert (run["verdict"]["gate"] == "input") == bool(slugs)
    assert result.code == 1 or not slugs
