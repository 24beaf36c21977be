"""qdebug: where a quantized network lost its accuracy, why, and what to change.

>>> import qdebug
>>> run = qdebug.compare("float.onnx", "int8.onnx", ["photo.jpg"])  # doctest: +SKIP
>>> run.verdict.status, run.findings[0].advice  # doctest: +SKIP

The names below are imported on first use, so that ``import qdebug`` costs nothing.
"""

import os
from importlib import import_module

from qdebug._version import __version__

# ONNX Runtime's Linux wheels from 1.32 on record events and send them to their makers, unless this
# is set before onnxruntime is imported. Who wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # that of typing, which takes long enough to import to be interrupted in
if TYPE_CHECKING:
    from qdebug.comparison.compare import compare
    from qdebug.comparison.export import export
    from qdebug.comparison.extract import extract
    from qdebug.comparison.quantize import quantize
    from qdebug.comparison.tune import tune
    from qdebug.errors import QdebugError
    from qdebug.evaluation.evaluate import evaluate
    from qdebug.preprocess import PreprocessSpec
    from qdebug.run.model import Finding, Layer, Run
    from qdebug.run.store import load_run

_HOMES = {
    "compare": "qdebug.comparison",
    "evaluate": "qdebug.evaluation",
    "export": "qdebug.comparison.export",
    "extract": "qdebug.comparison.extract",
    "quantize": "qdebug.comparison.quantize",
    "tune": "qdebug.comparison.tune",
    "load_run": "qdebug.run.store",
    "Run": "qdebug.run.model",
    "Layer": "qdebug.run.model",
    "Finding": "qdebug.run.model",
    "PreprocessSpec": "qdebug.preprocess",
    "QdebugError": "qdebug.errors",
}

__all__ = [
    "Finding",
    "Layer",
    "PreprocessSpec",
    "QdebugError",
    "Run",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "extract",
    "load_run",
    "quantize",
    "tune",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'qdebug' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
