"""Classifiers: does the quant model choose the same class, and how clear is its choice?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import softmax
from qdebug.analysis.tasks.task import (
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    class_names,
    label,
    share,
)
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("top1", warn=0.9, fail=0.5)
_EMBEDDING_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1280, 2048)
"""Usual lengths of feature vectors; an output of such a length needs a sign that it is scores."""
_SCORE_WORDS = ("logit", "prob", "class", "score", "softmax", "cls")
_UNIT_NORM = 1e-3


def recognize(facts: OutputFacts) -> Task | None:
    """A task for the class scores among the outputs; None where there are none."""
    for name, value in facts.outputs.items():
        scores = _scores(value)
        if scores is None or scores.size < 2 or not _is_scores(name, scores, facts):
            continue
        probabilities = _are_probabilities(scores)
        words = "probabilities" if probabilities else "logits"
        form = f"{words} of {scores.size} classes in {name}"
        judge = _Judge(name, probabilities, facts.metadata)
        return Task("classification", form, judge, total, describe, LIMITS, "decisions")
    return None


def _scores(value: Array) -> Array | None:
    """The class scores of one sample as a vector; None for an output of another shape."""
    if value.ndim < 2 or value.shape[0] != 1 or any(side != 1 for side in value.shape[2:]):
        return None
    return value.reshape(-1)


def _is_scores(name: str, scores: Array, facts: OutputFacts) -> bool:
    if not np.isfinite(scores).all():
        return False
    told = len(class_names(facts.metadata)) == scores.size
    named = any(word in name.lower() for word in _SCORE_WORDS)
    if told or named or _are_probabilities(scores):
        return True
    if abs(float(np.linalg.norm(scores)) - 1) < _UNIT_NORM:
        return False
    return len(facts.outputs) == 1 and scores.size not in _EMBEDDING_SIZES


def _are_probabilities(scores: Array) -> bool:
    return bool(scores.min() >= 0 and abs(float(scores.sum()) - 1) < 0.02)


@dataclass(frozen=True)
class _Judge:
    output: str
    probabilities: bool
    metadata: Mapping[str, str]

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = (np.nan_to_num(o[self.output].reshape(-1)) for o in (reference, test))
        float_p, quant_p = (v if self.probabilities else softmax(v, 0) for v in (f, q))
        best, chosen = int(f.argmax()), int(q.argmax())
        same = best == chosen and not _is_constant(q)
        in_five = best in np.argsort(-q, kind="stable")[:5]
        overlap = len(set(np.argsort(-f)[:5].tolist()) & set(np.argsort(-q)[:5].tolist()))
        margins = _margin(float_p, best), _margin(quant_p, best)
        facts: dict[str, str | float] = {
            "float": label(self.metadata, best),
            "quant": label(self.metadata, chosen),
            "same": "yes" if same else "no",
            "float margin": round(margins[0], 4),
            "quant margin": round(margins[1], 4),
        }
        counts = {
            "decisions": 1.0,
            "wrong": float(not same),
            "top1": float(same),
            "top5": float(in_five),
            "top5_overlap": overlap / min(5, len(f)),
            "float_margin": margins[0],
            "quant_margin": margins[1],
        }
        return Effect(facts, counts, float(not same) + abs(margins[0] - margins[1]))


def _is_constant(scores: Array) -> bool:
    """Whether there is no best class at all: the first of equals is no choice."""
    return bool(scores.max() == scores.min())


def _margin(probabilities: Array, best: int) -> float:
    """Probability of the float model's class minus that of the best other; negative where lost."""
    others = np.delete(probabilities, best)
    return float(probabilities[best] - others.max())


def total(counts: Mapping[str, float]) -> dict[str, float]:
    """Shares and means over the samples."""
    samples = counts["decisions"]
    names = ("top1", "top5", "top5_overlap", "float_margin", "quant_margin")
    return {name: share(counts[name], samples) for name in names} | {
        "samples": samples,
        "changed": counts["wrong"],
    }


def describe(numbers: Mapping[str, float]) -> str:
    """One sentence."""
    same = numbers["samples"] - numbers["changed"]
    return (
        f"same top-1 class on {same:.0f} of {numbers['samples']:.0f} samples "
        f"({percent(numbers['top1'])}), the float model's choice among the quant model's top 5 on "
        f"{percent(numbers['top5'])}; mean margin {numbers['float_margin']:.3f} in float, "
        f"{numbers['quant_margin']:.3f} in quant"
    )
