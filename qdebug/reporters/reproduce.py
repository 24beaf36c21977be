"""How to make a run again, and what its numbers mean."""

from __future__ import annotations

import shlex

from qdebug.metrics.entry import Metric
from qdebug.metrics.metric import SHOWN
from qdebug.reporters.encodings_words import model_rows
from qdebug.run.model import Limit, ModelInfo, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import number

_LACKING = "not measured in this run"
DEFINITIONS: tuple[tuple[str, str], ...] = (
    (
        "accumulated",
        "float run against quant run, at this tensor: everything upstream counts",
    ),
    (
        "local",
        "the quant layer fed with the float run's inputs: what this layer adds by itself",
    ),
    ("sensitivity", "only this layer quantized, at the model's outputs"),
    (
        "source, victim",
        "a source has a large local error; a victim has a large accumulated error only",
    ),
    (
        "clipping, rounding",
        "the part of the local error outside, and inside, the representable range",
    ),
    (
        "limit",
        "the value the verdict holds a number against; printed beside it",
    ),
)
"""Words of this report and what they mean."""


def explained_metrics(run: Run) -> list[tuple[Metric, str]]:
    """Every metric with its formula; f is the float value, q the quant value, e = q - f.

    A metric that the run has no number of says so: it came after the run was written.
    """
    return [
        (metric, metric.meaning if metric in run.metrics else f"{metric.meaning}; {_LACKING}")
        for metric in SHOWN
    ]


def shell_command(command: tuple[str, ...]) -> str:
    """The command line, quoted for a shell."""
    return visible(shlex.join(command))


_SIDES = {"both": "both models", "float": "float graph", "quant": "quant graph"}


def reproduce_facts(run: Run) -> list[tuple[str, str]]:
    """Versions, hashes and settings, as pairs of name and value."""
    tool, timing = run.tool, run.timing
    flags = f" ({' '.join(tool.cpu_flags)})" if tool.cpu_flags else ""
    return [
        ("float model", _model(run.models.float)),
        ("quant model", _model(run.models.quant)),
        *((_SIDES[side], text) for side, text in model_rows(run.models)),
        ("float input", f"{run.preprocess.float.spec} ({run.preprocess.float.origin})"),
        ("quant input", f"{run.preprocess.quant.spec} ({run.preprocess.quant.origin})"),
        *(("assumed", note) for note in run.preprocess.float.notes + run.preprocess.quant.notes),
        *((f"limit on {limit.metric}", _limit(limit)) for limit in run.verdict.limits),
        ("qdebug", tool.version),
        ("onnxruntime", tool.onnxruntime),
        ("onnx", tool.onnx),
        ("numpy", tool.numpy),
        ("python", tool.python),
        ("cpu", f"{tool.cpu}{flags}"),
        ("execution providers", f"float: {tool.providers[0]}, quant: {tool.providers[-1]}"),
        (
            "time",
            f"{timing.total_s:.1f} s, of which plain inference {timing.bare_inference_s:.1f} s",
        ),
        ("peak memory", f"{timing.peak_rss_mib:.0f} MiB"),
        *(("note", note) for note in run.notes),
    ]


def _model(model: ModelInfo) -> str:
    parts = [
        model.file,
        model.format + (f" ({model.detail})" if model.detail else ""),
        f"opset {model.opset}",
        f"{model.nodes} nodes",
        f"by {model.producer}" if model.producer else "",
        f"sha256 {model.sha256}",
    ]
    return " · ".join(part for part in parts if part)


def _limit(limit: Limit) -> str:
    direction = "at least" if limit.direction == "min" else "at most"
    return f"{direction} {number(limit.value)} ({limit.origin})"
