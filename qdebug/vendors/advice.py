"""A fix in the words of each toolchain, ready to paste.

Three fixes can be said so: layers kept out of 8 bits, another range for a tensor, one scale for
every channel of a weight. Layer names are the float model's node names; toolchains that rename
layers are given the name they make of it, by the rule that their own files show. Sources: ONNX
Runtime's ``quantize_static``, TPU-MLIR's quick start (quantization), the hybrid quantization
example of RKNN-Toolkit2, D-Robotics' PTQ templates, ncnn's ``quantized-int8-inference.md``, and
ModelOpt's command line with the migration guide of TensorRT 11.
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qdebug.run.model import Evidence

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class FloatLayer:
    """A layer to keep in float, or to give 16 bits.

    Attributes:
        node: name of its node in the float model.
        op: operator.
        tensor: name of its output.
    """

    node: str
    op: str
    tensor: str


@dataclass(frozen=True)
class BetterRange:
    """A range that would serve a tensor better than its own.

    Attributes:
        layer: what makes the tensor.
        low: smallest value of the range.
        high: largest value.
        clips: whether the tensor's own range is too narrow; otherwise it is too wide.
    """

    layer: FloatLayer
    low: float
    high: float
    clips: bool


@dataclass(frozen=True)
class _Toolchain:
    """How a toolchain says the fixes; ``weights`` is empty where it is its way anyway."""

    title: str
    keep_title: str
    language: str
    keep: Callable[[Sequence[FloatLayer]], str]
    calibrate: Callable[[BetterRange], str]
    weights: str = ""
    settings_language: str = "python"
    """Language of ``calibrate`` and ``weights``."""


def known_vendor(text: str) -> str:
    """The name of a toolchain, from its name or another name of it in any case.

    Raises:
        ValueError: there is no such toolchain; the message names the nearest, or all.
    """
    name = ALIASES.get(text.lower(), text.lower())
    if name in TOOLCHAINS:
        return name
    near = difflib.get_close_matches(name, [*TOOLCHAINS, *ALIASES], n=1)
    told = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TOOLCHAINS)}"
    raise ValueError(f"there is no toolchain {text!r}; {told}")


def keep_in_float(layers: Sequence[FloatLayer], vendor: str | None = None) -> list[Evidence]:
    """The setting that keeps layers in float (or 16 bits), one piece of code a toolchain.

    Args:
        layers: in execution order.
        vendor: one toolchain, by a key or alias of it; None, or one that is not known, for all.
    """
    return [
        _code(toolchain.keep_title, toolchain.language, toolchain.keep(layers))
        for toolchain in _chosen(vendor)
        if toolchain.keep(layers)
    ]


def calibrate_again(item: BetterRange, vendor: str | None = None) -> list[Evidence]:
    """The setting that gives a tensor a better range, or another calibration where there is none.

    Args:
        item: the tensor and its better range.
        vendor: one toolchain, by a key or alias of it; None, or one that is not known, for all.
    """
    return [
        _code(f"{x.title}: another range", x.settings_language, x.calibrate(item))
        for x in _chosen(vendor)
    ]


def weights_per_channel(vendor: str | None = None) -> list[Evidence]:
    """The setting that gives every output channel of a weight its own scale.

    Toolchains that always do so are left out.

    Args:
        vendor: one toolchain, by a key or alias of it; None, or one that is not known, for all.
    """
    return [
        _code(f"{x.title}: weights per channel", x.settings_language, x.weights)
        for x in _chosen(vendor)
        if x.weights
    ]


def _chosen(vendor: str | None) -> list[_Toolchain]:
    known = ALIASES.get((vendor or "").lower(), (vendor or "").lower())
    return [TOOLCHAINS[known]] if known in TOOLCHAINS else list(TOOLCHAINS.values())


def _code(title: str, language: str, text: str) -> Evidence:
    return Evidence("code", title, {"language": language, "text": text})


def _onnxruntime(layers: Sequence[FloatLayer]) -> str:
    names = "".join(f"        {_literal(layer.node)},\n" for layer in layers)
    return (
        "quantize_static(\n    float_model, quant_model, reader,\n"
        f"    nodes_to_exclude=[\n{names}    ],\n)"
    )


def _onnxruntime_range(item: BetterRange) -> str:
    limits = f'[{{"rmin": {_number(item.low)}, "rmax": {_number(item.high)}}}]'
    return (
        "quantize_static(\n    float_model, quant_model, reader,\n"
        '    extra_options={"TensorQuantOverrides": {\n'
        f"        {_literal(item.layer.tensor)}: {limits},\n    }}}},\n)"
    )


def _number(value: float) -> str:
    """ONNX Runtime 1.31 fails on Python's own floats here."""
    return f"np.float32({value:.6g})"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_MODELOPT = (
    "python -m modelopt.onnx.quantization --onnx_path model.onnx --quantize_mode int8 \\\n"
    "    --calibration_data_path calibration.npy --output_path model.quant.onnx \\\n"
)
_BUILD = "\ntrtexec --onnx=model.quant.onnx --saveEngine=model.plan"


def _tensorrt(layers: Sequence[FloatLayer]) -> str:
    """By Q/DQ nodes: TensorRT 11 has no precision flags any more, and 10 takes this as well."""
    names = " ".join(shlex.quote(layer.node) for layer in layers)
    return f"{_MODELOPT}    --nodes_to_exclude {names}{_BUILD}"


def _tensorrt_range(item: BetterRange) -> str:
    return f"{_MODELOPT}    --calibration_method {'max' if item.clips else 'entropy'}{_BUILD}"


def _tpu_mlir(layers: Sequence[FloatLayer]) -> str:
    lines = [f"{layer.tensor}_{layer.op} F16" for layer in layers]
    return "\n".join(["# op_name   quantize_mode", *lines])


def _tpu_mlir_range(item: BetterRange) -> str:
    """A row of the calibration table; the threshold serves the symmetric form."""
    threshold = max(abs(item.low), abs(item.high))
    name = f"{item.layer.tensor}_{item.layer.op}"
    row = f"{name} {threshold:.7f} {item.low:.7f} {item.high:.7f}"
    return f"# op_name    threshold    min    max\n{row}"


def _rknn(layers: Sequence[FloatLayer]) -> str:
    lines = [f"    {layer.tensor}: float16" for layer in layers]
    return "\n".join(["custom_quantize_layers:", *lines])


def _rknn_range(item: BetterRange) -> str:
    """The ranges of its cfg must not be edited: step 2 refuses that."""
    method = "normal" if item.clips else "mmse"
    return f'rknn.config(quantized_algorithm="{method}", ...)'


def _horizon(layers: Sequence[FloatLayer]) -> str:
    entry = {"ON": "BPU", "InputType": "int16", "OutputType": "int16"}
    lines = [f"    {_literal(layer.node)}: {json.dumps(entry)}" for layer in layers]
    return "model_parameters:\n  node_info: {\n" + ",\n".join(lines) + "\n  }"


def _horizon_range(item: BetterRange) -> str:
    percentile = "" if item.clips else "\n  max_percentile: 0.9999"
    return f"calibration_parameters:\n  calibration_type: 'max'{percentile}"


def _ncnn(layers: Sequence[FloatLayer]) -> str:
    """Both lines of a layer are needed: with only one gone, its whole operator type is skipped."""
    names = [layer.node for layer in layers if layer.op in _WEIGHTED]
    lines = [line for name in names for line in (f"#{name}_param_0 ...", f"#{name} ...")]
    return "\n".join(lines)


def _ncnn_range(item: BetterRange) -> str:
    """Its methods are KL and ACIQ; both choose a threshold below the maximum."""
    more = "more and more varied images in the list" if item.clips else "or method=kl"
    return (
        "ncnn2table model.param model.bin images.txt model.table \\\n"
        f"    mean=[...] norm=[...] shape=[...] pixel=... method=aciq  # {more}"
    )


TOOLCHAINS: Mapping[str, _Toolchain] = {
    "onnxruntime": _Toolchain(
        "ONNX Runtime",
        "ONNX Runtime",
        "python",
        _onnxruntime,
        _onnxruntime_range,
        "quantize_static(\n    float_model, quant_model, reader,\n    per_channel=True,\n)",
    ),
    "tensorrt": _Toolchain(
        "TensorRT", "TensorRT: by ModelOpt", "sh", _tensorrt, _tensorrt_range, "", "sh"
    ),
    "tpu-mlir": _Toolchain(
        "TPU-MLIR", "TPU-MLIR: qtable", "text", _tpu_mlir, _tpu_mlir_range, "", "text"
    ),
    "rknn": _Toolchain(
        "RKNN",
        "RKNN: hybrid quantization cfg, lines to add",
        "yaml",
        _rknn,
        _rknn_range,
        'rknn.config(quantized_method="channel", ...)',
    ),
    "horizon": _Toolchain(
        "Horizon", "Horizon: node_info", "yaml", _horizon, _horizon_range, "", "yaml"
    ),
    "ncnn": _Toolchain(
        "ncnn", "ncnn: lines of the table to comment out", "text", _ncnn, _ncnn_range
    ),
}
"""Toolchains by the name that ``--vendor`` takes."""
ALIASES: Mapping[str, str] = {
    "ort": "onnxruntime",
    "sophgo": "tpu-mlir",
    "tpu_mlir": "tpu-mlir",
    "rockchip": "rknn",
    "trt": "tensorrt",
}
"""Other names of them."""
