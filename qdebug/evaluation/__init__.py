"""``qdebug.evaluate``: what models score on labelled data."""

from qdebug.evaluation.evaluate import evaluate, scored

__all__ = ["evaluate", "scored"]
