"""``qdebug.evaluate``: what models score on labelled data."""

from qdebug.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
