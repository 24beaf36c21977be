"""Fixes in the words of each toolchain; ONNX Runtime's are carried out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

from qdebug.vendors.advice import (
    BetterRange,
    FloatLayer,
    advices,
    calibrate_again,
    keep_in_float,
    known_vendor,
    weights_per_channel,
)
from tests.support import graphs

CONV = FloatLayer("conv2", "Conv", "t3")
RELU = FloatLayer("relu1", "Relu", "t2")
WIDE = BetterRange(CONV, -1.0, 2.5, clips=False)
NARROW = BetterRange(CONV, -1.0, 2.5, clips=True)


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """One picture of noise."""

    def __init__(self) -> None:
        values = np.random.default_rng(0).random((1, 3, graphs.SIDE, graphs.SIDE), np.float32)
        self._left: Iterator[dict[str, Any]] = iter([{"images": values}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def texts(found: list[Any]) -> dict[str, str]:
    return {item.title: item.data["text"] for item in found}


def only(found: list[Any]) -> str:
    (item,) = found
    assert item.kind == "code"
    return str(item.data["text"])


def carried_out(snippet: str, folder: Path) -> onnx.ModelProto:
    """The model that ONNX Runtime's quantizer makes when the advice is pasted."""
    float_model, quant_model = folder / "float.onnx", folder / "quant.onnx"
    float_model.write_bytes(graphs.float_model(opset=17).SerializeToString())
    names = {"float_model": float_model, "quant_model": quant_model, "reader": Reader()}
    exec(snippet, {"quantize_static": quantize_static, "np": np}, names)
    return onnx.load(quant_model)


def scale_of(model: onnx.ModelProto, tensor: str) -> Any:
    node = next(n for n in model.graph.node if n.op_type == "DequantizeLinear" and tensor in n.name)
    found = next(t for t in model.graph.initializer if t.name == node.input[1])
    return numpy_helper.to_array(found)


def reads_dequantized(model: onnx.ModelProto, node: str) -> bool:
    made = {name: n.op_type for n in model.graph.node for name in n.output}
    found = next(n for n in model.graph.node if n.name == node)
    return all(made.get(name) == "DequantizeLinear" for name in found.input)


def test_onnxruntime_leaves_the_node_in_float(tmp_path: Path) -> None:
    model = carried_out(only(keep_in_float([CONV], "onnxruntime")), tmp_path)
    assert reads_dequantized(model, "conv1")
    assert not reads_dequantized(model, "conv2")


def test_onnxruntime_takes_the_range(tmp_path: Path) -> None:
    wanted = BetterRange(RELU, 0.0, 5.1, clips=True)
    model = carried_out(only(calibrate_again(wanted, "ort")), tmp_path)
    assert scale_of(model, "t2") == pytest.approx(5.1 / 255)


def test_onnxruntime_gives_every_channel_a_scale(tmp_path: Path) -> None:
    model = carried_out(only(weights_per_channel("onnxruntime")), tmp_path)
    assert scale_of(model, "w2").shape == (8,)


def test_strange_names_stay_whole_for_python_and_the_shell(tmp_path: Path) -> None:
    strange = FloatLayer("/a 'b'/\U0001f600 \"c\"", "Conv", "t")
    code = only(keep_in_float([strange], "onnxruntime"))
    seen: dict[str, Any] = {}
    exec(
        code,
        {"quantize_static": lambda *_, **options: seen.update(options)},
        dict.fromkeys(("float_model", "quant_model", "reader")),
    )
    assert seen["nodes_to_exclude"] == [strange.node]
    words = shlex.split(only(keep_in_float([strange], "tensorrt")).replace("\\\n", " "))
    assert words[words.index("--nodes_to_exclude") + 1] == strange.node


@pytest.mark.parametrize(
    ("vendor", "text"),
    [
        ("tpu-mlir", "# op_name   quantize_mode\nt3_Conv F16\nt2_Relu F16"),
        ("rknn", "custom_quantize_layers:\n    t3: float16\n    t2: float16"),
        (
            "horizon",
            "model_parameters:\n  node_info: {\n"
            '    "conv2": {"ON": "BPU", "InputType": "int16", "OutputType": "int16"},\n'
            '    "relu1": {"ON": "BPU", "InputType": "int16", "OutputType": "int16"}\n  }',
        ),
        ("ncnn", "#conv2_param_0 ...\n#conv2 ..."),
    ],
)
def test_layers_kept_in_float(vendor: str, text: str) -> None:
    assert only(keep_in_float([CONV, RELU], vendor)) == text


def test_ncnn_has_nothing_to_say_of_layers_it_never_quantizes() -> None:
    assert keep_in_float([RELU], "ncnn") == []


def test_tensorrt_is_told_by_q_dq_nodes() -> None:
    """TensorRT 11 removed ``--int8``, ``--calib`` and the precision constraints of ``trtexec``."""
    for found in (keep_in_float([CONV], "trt"), calibrate_again(WIDE, "trt")):
        text = only(found)
        assert "modelopt.onnx.quantization" in text
        assert "--int8" not in text
        assert "Precision" not in text


@pytest.mark.parametrize(
    ("vendor", "narrow", "wide"),
    [
        ("tensorrt", "--calibration_method max", "--calibration_method entropy"),
        ("tpu-mlir", "t3_Conv 2.5000000 -1.0000000 2.5000000", "threshold    min    max"),
        ("rknn", 'quantized_algorithm="normal"', 'quantized_algorithm="mmse"'),
        ("horizon", "calibration_type: 'max'", "max_percentile: 0.9999"),
        ("ncnn", "images", "method=aciq"),
    ],
)
def test_another_range(vendor: str, narrow: str, wide: str) -> None:
    assert narrow in only(calibrate_again(NARROW, vendor))
    assert wide in only(calibrate_again(WIDE, vendor))


def test_a_range_that_clips_is_not_cut_further() -> None:
    assert "percentile" not in only(calibrate_again(NARROW, "horizon"))


def test_without_a_vendor_every_toolchain_speaks() -> None:
    assert len(texts(keep_in_float([CONV]))) == len(advices())
    assert len(texts(calibrate_again(WIDE))) == len(advices())
    assert list(texts(weights_per_channel())) == [
        "ONNX Runtime: weights per channel",
        "RKNN: weights per channel",
    ]
    assert weights_per_channel("ncnn") == []


def test_names_of_toolchains() -> None:
    assert known_vendor("TRT") == "tensorrt"
    with pytest.raises(ValueError, match="did you mean 'horizon'"):
        known_vendor("horizn")
