"""Outputs of models by ONNX Runtime directly, and the SQNR of the part of them a finding is about.

Nothing of qdebug takes part but the preprocessing: what a finding predicts is held to this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from qdebug.metrics.sqnr import level_db
from qdebug.run.model import Finding
from tests.support.feeds import prepared

Array = npt.NDArray[Any]
Outputs = Mapping[str, Sequence[Array]]
LOW_DB, HIGH_DB = -20.0, 60.0
"""SQNR is cut to these ends before a gain is taken, as in the findings."""


@dataclass(frozen=True)
class Part:
    """What a gain was predicted for.

    Attributes:
        output: its name.
        channels: some of its channels, None for all.
    """

    output: str
    channels: tuple[int, ...] | None


def run(model: Path | onnx.ModelProto, pictures: Sequence[Path], spec: str) -> Outputs:
    """Every output for every picture, all optimizations off."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    entry = session.get_inputs()[0]
    found: dict[str, list[Array]] = {name: [] for name in names}
    for given in prepared(pictures, spec):
        turned = _wants_nhwc(entry.shape, given)
        value = np.ascontiguousarray(given.transpose(0, 2, 3, 1)) if turned else given
        for name, output in zip(names, session.run(names, {entry.name: value}), strict=True):
            found[name].append(output)
    return found


def _wants_nhwc(shape: Sequence[Any], value: Array) -> bool:
    return len(shape) == 4 and shape[3] == value.shape[1] and shape[1] != value.shape[1]


def part_of(finding: Finding) -> Part | None:
    """What a finding's gain was computed for; None where it does not say, or not in full."""
    items = next((e.data["items"] for e in finding.evidence if e.kind == "key_values"), ())
    told = dict(items).get("output")
    if told is None or "..." in told:
        return None
    name, _, channels = str(told).partition(", channels ")
    return Part(name, tuple(_numbers(channels)) if channels else None)


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for run_of_them in text.split(", "):
        first, _, last = run_of_them.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def sqnr(float_outputs: Outputs, quant_outputs: Outputs, part: Part) -> float:
    """SQNR in dB of a part over all samples; outputs go by their order where names differ."""
    at = list(float_outputs).index(part.output)
    signal = noise = 0.0
    for f, q in zip(float_outputs[part.output], list(quant_outputs.values())[at], strict=True):
        a, b = (_chosen(v.reshape(f.shape).astype(np.float64), part.channels) for v in (f, q))
        signal, noise = signal + float((a * a).sum()), noise + float(((b - a) ** 2).sum())
    return min(max(level_db(signal, noise), LOW_DB), HIGH_DB)


def _chosen(value: Array, channels: tuple[int, ...] | None) -> Array:
    """Some channels: of the last axis of a matrix, axis 1 of an image, the shorter one of boxes."""
    if channels is None:
        return value
    boxes = value.ndim == 3 and value.shape[2] < value.shape[1]
    axis = value.ndim - 1 if boxes or value.ndim == 2 else 1
    return np.take(value, channels, axis=axis)


def is_close(predicted: float, actual: float) -> bool:
    """Whether a predicted gain is right within 3 dB or a quarter."""
    return abs(predicted - actual) <= max(3.0, 0.25 * abs(actual))
