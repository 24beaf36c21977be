"""A fix in the words of each toolchain: layers to keep out of 8 bits, ready to paste.

Layer names are the float model's node names; toolchains that rename layers are given the name
they make of it, by the rule that their own files show.
"""

from __future__ import annotations

import difflib
import json
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
class _Toolchain:
    title: str
    language: str
    write: Callable[[Sequence[FloatLayer]], str]


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
    known = ALIASES.get((vendor or "").lower(), (vendor or "").lower())
    chosen = [TOOLCHAINS[known]] if known in TOOLCHAINS else list(TOOLCHAINS.values())
    written = [(toolchain, toolchain.write(layers)) for toolchain in chosen]
    return [
        Evidence("code", toolchain.title, {"language": toolchain.language, "text": text})
        for toolchain, text in written
        if text
    ]


def _onnxruntime(layers: Sequence[FloatLayer]) -> str:
    names = "".join(f"        {json.dumps(layer.node)},\n" for layer in layers)
    return (
        "quantize_static(\n    float_model, quant_model, reader,\n"
        f"    nodes_to_exclude=[\n{names}    ],\n)"
    )


def _tensorrt(layers: Sequence[FloatLayer]) -> str:
    given = ",".join(f"{_quoted(layer.node)}:fp16" for layer in layers)
    return (
        "trtexec --onnx=model.onnx --int8 --fp16 --precisionConstraints=obey \\\n"
        f"    --layerPrecisions={given} \\\n    --layerOutputTypes={given}"
    )


def _quoted(name: str) -> str:
    return (
        name if name.replace("/", "").replace(".", "").replace("_", "").isalnum() else f'"{name}"'
    )


def _tpu_mlir(layers: Sequence[FloatLayer]) -> str:
    lines = [f"{layer.tensor}_{layer.op} F16" for layer in layers]
    return "\n".join(["# op_name   quantize_mode", *lines])


def _rknn(layers: Sequence[FloatLayer]) -> str:
    lines = [f"    {layer.tensor}: float16" for layer in layers]
    return "\n".join(["custom_quantize_layers:", *lines])


def _horizon(layers: Sequence[FloatLayer]) -> str:
    entry = {"ON": "BPU", "InputType": "int16", "OutputType": "int16"}
    lines = [f"  {json.dumps(layer.node)}: {json.dumps(entry)}" for layer in layers]
    return "node_info: {\n" + ",\n".join(lines) + "\n}"


def _ncnn(layers: Sequence[FloatLayer]) -> str:
    """Both lines of a layer are needed: with only one gone, its whole operator type is skipped."""
    names = [layer.node for layer in layers if layer.op in _WEIGHTED]
    lines = [line for name in names for line in (f"#{name}_param_0 ...", f"#{name} ...")]
    return "\n".join(lines)


TOOLCHAINS: Mapping[str, _Toolchain] = {
    "onnxruntime": _Toolchain("ONNX Runtime", "python", _onnxruntime),
    "tensorrt": _Toolchain("TensorRT", "sh", _tensorrt),
    "tpu-mlir": _Toolchain("TPU-MLIR: qtable", "text", _tpu_mlir),
    "rknn": _Toolchain("RKNN: hybrid quantization cfg, lines to add", "yaml", _rknn),
    "horizon": _Toolchain("Horizon: node_info", "yaml", _horizon),
    "ncnn": _Toolchain("ncnn: lines of the table to comment out", "text", _ncnn),
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
