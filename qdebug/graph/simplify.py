"""A float graph as converters make it first: constants folded, factors in the weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from qdebug.at_work import working_on

_CONSTANTS_IR = 4
"""The first IR version in which an initializer need not be an input."""
_LARGEST = 1 << 30
"""Bytes of weights beyond which the graph is left as it is: it is held three times meanwhile."""


def simplified(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto | None:
    """The model after ONNX Runtime's basic optimizations, which use standard operators only.

    They fold constants, put BatchNormalization, factors and summands into the products before
    them, and take out what does nothing. Tensors that are left keep their names.

    Args:
        model: a float model.
        folder: where its external data lies.

    Returns:
        None where ONNX Runtime cannot load it, or it is too large to try.
    """
    import onnxruntime

    if model.ByteSize() > _LARGEST:
        return None
    model = _with_constants(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "simplified.onnx"
        options.optimized_model_filepath = str(file)
        try:
            with working_on("the float model, simplified"):
                onnxruntime.InferenceSession(
                    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
            return _with_used_domains(onnx.load(str(file)))
        except Exception:  # ONNX Runtime raises a dozen unrelated types
            return None


def _with_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without inputs that have a value: what could be overridden is not folded."""
    held = {item.name for item in model.graph.initializer}
    if not any(item.name in held for item in model.graph.input):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [item for item in copy.graph.input if item.name not in held]
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    copy.ir_version = max(copy.ir_version, _CONSTANTS_IR)
    return copy


def _with_used_domains(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the operator sets that ONNX Runtime names and no node uses."""
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
