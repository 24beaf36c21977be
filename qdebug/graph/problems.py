"""Why ONNX Runtime will not run a graph, in words the user can act on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx

from qdebug.errors import ModelError
from qdebug.graph.model import Graph, Node

_RUNTIME_DOMAINS = {
    "ai.onnx.ml",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "ai.onnx.training",
    "com.microsoft",
    "com.microsoft.dml",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
}
# Withdrawn from the standard, still run by ONNX Runtime.
_LEGACY_OPS = {
    "Affine",
    "Crop",
    "DynamicSlice",
    "GivenTensorFill",
    "ImageScaler",
    "ParametricSoftplus",
    "Scale",
    "ScaledTanh",
}
_VENDOR_DOMAINS = (
    ("com.amd.quark", "AMD Quark", "its op library is needed to run it; export plain QDQ instead"),
    ("com.vai", "AMD Vitis AI", "export with plain QuantizeLinear and DequantizeLinear"),
    ("qonnx", "QONNX", "convert it: qonnx-convert MODEL --output-style qcdq"),
    ("finn", "FINN", "export QCDQ instead"),
    ("onnx.brevitas", "Brevitas", "export with brevitas.export.export_onnx_qcdq"),
    ("aimet", "AIMET", "export with sim.onnx.export or sim.to_onnx_qdq()"),
    ("trt", "TensorRT", "export the float and the QDQ graph without TensorRT plugins"),
    ("org.openvinotoolkit", "OpenVINO NNCF", "compare the graph with QDQ nodes instead"),
    ("horizon", "Horizon", "compare the graph from before compilation"),
    ("ai.onnx.contrib", "onnxruntime-extensions", "cut pre- and postprocessing off the graph"),
    ("mmdeploy", "MMDeploy", "export without the postprocessing plugin"),
    ("mmcv", "MMCV", "export without the postprocessing plugin"),
    ("aten", "PyTorch", "export again without ONNX_FALLTHROUGH"),
    ("org.pytorch", "PyTorch", "export again without ATen fallback"),
)
_VENDOR_OPS = (
    (r"Ascend", "Ascend AMCT", "compare AMCT's *_fake_quant_model.onnx, not its deploy model"),
    (r"Hz", "Horizon", "compare *_quantized_model's plain QDQ export, or cut HzPreprocess off"),
    (r"PPQ", "PPQ", "export with TargetPlatform.ONNXRUNTIME"),
    (r".*_TRT$|TRT_", "TensorRT", "export without TensorRT plugins: cut the NMS off"),
    (r"Vitis", "AMD Vitis AI", "export with plain QuantizeLinear and DequantizeLinear"),
    (r"Extended(De)?[Qq]uantize", "AMD Quark", "export plain QDQ instead"),
    (r"(Fake)?Quantize(Learnable|Per)|FixedPer|FakeQuantizeLearn", "MQBench", "deploy as QDQ"),
    (r"FakeQuantize$", "OpenVINO NNCF", "export the graph with QDQ nodes instead"),
    (r"QcQuantize", "AIMET", "export with sim.to_onnx_qdq()"),
)


@dataclass(frozen=True)
class UnsupportedOp:
    """An operator ONNX Runtime does not have.

    Attributes:
        node: label of the first node that uses it.
        op: operator type.
        domain: its domain, empty for the default one.
        vendor: who defines it, empty where not known.
        hint: what to do.
        count: number of nodes that use it.
    """

    node: str
    op: str
    domain: str
    vendor: str
    hint: str
    count: int


def unsupported_ops(graph: Graph) -> list[UnsupportedOp]:
    """Operators ONNX Runtime cannot run, in order of first use, each once."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node in graph.nodes:
        if not is_known(node.op, node.domain):
            found.setdefault((node.domain, node.op), []).append(node)
    return [_unsupported(nodes) for nodes in found.values()]


def is_known(op: str, domain: str) -> bool:
    """Whether ONNX Runtime has an operator."""
    if domain in ("", "ai.onnx"):
        return op in _LEGACY_OPS or _is_standard(op) or op in _own_ops()
    return domain in _RUNTIME_DOMAINS


@cache
def _own_ops() -> frozenset[str]:
    """ONNX Runtime's own operators in the standard's domain, but for those of TensorRT's plug-ins.

    It knows the latter's shapes and runs them in TensorRT only.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    listed = getattr(runtime, "get_all_operator_schema", list)
    names = (schema.name for schema in listed() if schema.domain in ("", "ai.onnx"))
    return frozenset(name for name in names if not name.endswith("_TRT"))


@cache
def _is_standard(op: str) -> bool:
    return bool(onnx.defs.has(op))


def _unsupported(nodes: list[Node]) -> UnsupportedOp:
    first = nodes[0]
    vendor, hint = _vendor(first.op, first.domain)
    return UnsupportedOp(first.label, first.op, first.domain, vendor, hint, len(nodes))


def _vendor(op: str, domain: str) -> tuple[str, str]:
    for prefix, vendor, hint in _VENDOR_DOMAINS:
        if domain.startswith(prefix):
            return vendor, hint
    for pattern, vendor, hint in _VENDOR_OPS:
        if re.match(pattern, op):
            return vendor, hint
    return "", "export the graph without custom operators"


def explain_ort_error(graph: Graph, message: str) -> ModelError:
    """Translate what ONNX Runtime said about a graph.

    Args:
        graph: the graph it would not load or run.
        message: text of its exception.
    """
    name = graph.path.name
    unknown = unsupported_ops(graph)
    if unknown:
        return _unknown_op_error(name, unknown)
    axis = _early_axis(graph)
    if axis is not None:
        return ModelError(
            f"{name} quantizes per channel at {axis.label!r} under opset {graph.opset}, "
            "which knows no axis",
            "convert to opset 13 or later: onnx.version_converter.convert_version(model, 13)",
        )
    return _known_message(name, message) or ModelError(
        f"ONNX Runtime cannot run {name}: {_one_line(message)}",
        "check it with: python -c 'import onnx; onnx.checker.check_model(\"" + name + "\", True)'",
    )


def _unknown_op_error(name: str, unknown: list[UnsupportedOp]) -> ModelError:
    first = unknown[0]
    op = f"{first.domain}:{first.op}" if first.domain else first.op
    others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    many = "1 node" if first.count == 1 else f"{first.count} nodes"
    of = f" of {first.vendor}" if first.vendor else ""
    return ModelError(
        f"{name} needs the operator {op}{of} ({many}, first {first.node!r}){others}, "
        "which ONNX Runtime does not have",
        first.hint,
    )


def _early_axis(graph: Graph) -> Node | None:
    """First Q or DQ node that quantizes per channel where its operator version cannot."""
    if graph.opset >= 13:
        return None
    for node in graph.nodes:
        if node.op in ("QuantizeLinear", "DequantizeLinear") and node.domain in ("", "ai.onnx"):
            scale = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
            if "axis" in node.attributes or (scale is not None and np.size(scale) > 1):
                return node
    return None


def _known_message(name: str, message: str) -> ModelError | None:
    kernel = re.search(r"implementation for (\S+?)\(\d+\) node with name '(.*?)'", message)
    if kernel:
        return ModelError(
            f"{name}: ONNX Runtime has no kernel for {kernel[1]} with the types at {kernel[2]!r}",
            "try another --provider, or quantize with uint8 activations",
        )
    newest = re.search(r"opset (\d+)", message) if "official support" in message else None
    if newest or "Unsupported model IR version" in message:
        return ModelError(
            f"{name} is newer than the installed ONNX Runtime: {_one_line(message)}",
            "pip install -U onnxruntime",
        )
    shape = re.search(r"Got invalid dimensions for input: (\S+)", message)
    if shape:
        return ModelError(
            f"{name} does not take this shape at input {shape[1]!r}: {_one_line(message)}",
            "give the pipeline with -p, or --quant-preprocess where the two models differ",
        )
    return None


def _one_line(message: str, limit: int = 300) -> str:
    text = " ".join(re.sub(r"^\[ONNXRuntimeError\][^A-Z]*", "", message).split()).rstrip(".")
    return text if len(text) <= limit else text[: limit - 1] + "…"
