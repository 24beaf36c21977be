"""``--vendor``: the fix in the words of the toolchain asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import qdebug


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
