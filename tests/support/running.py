"""Direct ONNX Runtime runs and plain numpy, to hold qdebug's numbers against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

Array = npt.NDArray[Any]


def run_tensors(
    model: Path | onnx.ModelProto, feeds: Mapping[str, Array], tensors: Iterable[str]
) -> dict[str, Array]:
    """Values of named tensors, all optimizations off: nothing of qdebug takes part."""
    proto = onnx.load(str(model)) if isinstance(model, Path) else model
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    names = list(dict.fromkeys(tensors))
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def optimized_sqnr(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> float:
    """SQNR of the optimized model's outputs against the model as it is written, the worst of them.

    Tells whether the ONNX Runtime at hand optimizes a graph rightly.
    """
    levels = onnxruntime.GraphOptimizationLevel
    results = []
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results.append(session.run(None, dict(feeds)))
    return min(direct_sqnr(plain, given) for plain, given in zip(*results, strict=True))


def direct_cosine(f: Array, q: Array) -> float:
    """Cosine in float64."""
    a, b = f.astype(np.float64).ravel(), q.astype(np.float64).ravel()
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def direct_sqnr(f: Array, q: Array) -> float:
    """SQNR in dB, in float64."""
    a, b = f.astype(np.float64).ravel(), q.astype(np.float64).ravel()
    noise = float((b - a) @ (b - a))
    if noise == 0:
        return math.inf
    signal = float(a @ a)
    return 10 * math.log10(signal / noise) if signal else -math.inf
