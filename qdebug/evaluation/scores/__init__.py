"""Scores against labels: one module a task, each by a library where a well-kept one has it."""

from qdebug.evaluation.scores.registry import scorer_of
from qdebug.evaluation.scores.scorer import Scorer

__all__ = ["Scorer", "scorer_of"]
