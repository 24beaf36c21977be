"""``--vendor``: the fix in the words of the toolchain asked for."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import qdebug
from tests.support.planting import bias_clipped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vendor", "quant", "needed"),
    [
        ("rknn", "int8_clipped", 'rknn.config(quantized_algorithm="normal", ...)'),
        ("tpu-mlir", "int8_clipped", "# op_name    threshold    min    max"),
        ("horizon", "int8_clipped", "calibration_type: 'max'"),
    ],
)
def test_a_finding_gives_the_setting_of_the_vendor_asked(
    vendor: str, quant: str, needed: str, sample_models: Path
) -> None:
    models = (
        sample_models / "classifier" / "float.onnx",
        sample_models / "classifier" / f"{quant}.onnx",
    )
    photos = sample_models / "pictures" / "objects"
    run = qdebug.compare(*models, photos, vendor=vendor, limit=4)
    clipping = next(f for f in run.findings if f.slug == "activation-clipping")
    assert clipping.status in ("fail", "warn")
    (code,) = (item for item in clipping.evidence if item.kind == "code")
    assert needed in code.data["text"]


@pytest.mark.slow
def test_a_clipped_bias_comes_with_the_layer_to_keep(sample_models: Path, tmp_path: Path) -> None:
    models = sample_models / "classifier" / "float.onnx", sample_models / "classifier" / "int8.onnx"
    planted = bias_clipped(*map(onnx.load, models))
    onnx.save(planted.float_model, tmp_path / "float.onnx")
    onnx.save(planted.quant_model, tmp_path / "quant.onnx")
    photo = sample_models / "pictures" / "objects" / "ball.jpg"
    run = qdebug.compare(tmp_path / "float.onnx", tmp_path / "quant.onnx", photo, vendor="rknn")
    clipped = next(f for f in run.findings if f.slug == "bias-clipped")
    (code,) = (item for item in clipped.evidence if item.kind == "code")
    tensor = run.layers[clipped.layers[0]].float_tensor
    assert code.data["text"] == f"custom_quantize_layers:\n    {tensor}: float16"
