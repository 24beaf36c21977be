"""Classifiers: does the quant model choose the same class, and how clear is its choice?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import softmax
from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    class_names,
    label,
    share,
)
from qdebug.analysis.tasks.vectors import EMBEDDING_SIZES, SCORE_WORDS, UNIT_NORM, vector
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("top1", warn=0.9, fail=0.5)
LEAST_MARGIN = 1e-3
"""Below this margin of probabilities the float model itself does not choose. By judgement: a
thousand equal classes have a thousandth each."""
_CLEAR_MARGIN = 0.1
"""A margin from which on a vector of unknown meaning behaves like logits. By judgement."""


def recognize(facts: OutputFacts) -> Task | None:
    """A task for the class scores among the outputs; None where there are none."""
    for name, value in facts.outputs.items():
        scores = vector(value)
        if scores is None or scores.size < 2 or not np.isfinite(scores).all():
            continue
        told = _told(name, scores, facts)
        if told or facts.declared or _could_be_scores(scores, facts):
            return _task(name, scores, facts, told)
    return None


def _task(name: str, scores: Array, facts: OutputFacts, told: str) -> Task:
    probabilities = _are_probabilities(scores)
    words = "probabilities" if probabilities else "logits"
    return Task(
        "classification",
        f"{words} of {scores.size} classes in {name}",
        _Judge(name, probabilities, facts.metadata),
        total,
        describe,
        LIMITS,
        "decisions",
        reads=(name,),
        behaves=lambda outputs: _behaves(outputs[name].reshape(-1), probabilities, bool(told)),
        assumed="" if told or len(facts.outputs) == 1 else "one of several outputs is class scores",
        read=lambda outputs: np.nan_to_num(outputs[name].reshape(-1)),
    )


def _told(name: str, scores: Array, facts: OutputFacts) -> str:
    """What says that these are class scores: the metadata's list of classes, or the name."""
    if len(class_names(facts.metadata)) == scores.size:
        return f"the metadata names {scores.size} classes"
    named = any(word in name.lower() for word in SCORE_WORDS)
    return f"output {name} is named so" if named else ""


def _could_be_scores(scores: Array, facts: OutputFacts) -> bool:
    if _are_probabilities(scores):
        return True
    if abs(float(np.linalg.norm(scores)) - 1) < UNIT_NORM:
        return False
    return len(facts.outputs) == 1 and scores.size not in EMBEDDING_SIZES


def _behaves(scores: Array, probabilities: bool, told: bool) -> Behaviour:
    """Whether one class stands out; of unnamed logits also whether some are negative.

    Coordinates are vectors too: those of one sign (pixels, shares of the picture) are no logits of
    a network trained with a softmax, which are about as often negative as positive.
    """
    scores = np.nan_to_num(scores)
    found = scores if probabilities else softmax(scores, 0)
    margin = _margin(found, int(found.argmax()))
    shown = f"the best class leads by {margin:.2g}"
    if margin < LEAST_MARGIN:
        return Behaviour(None if told or probabilities else False, shown)
    if told or probabilities:
        return Behaviour(True, shown)
    if scores.min() >= 0:
        return Behaviour(None, f"{shown}, but no value is negative")
    return Behaviour(True if margin >= _CLEAR_MARGIN else None, shown)


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
        chooses = float(_margin(float_p, best) >= LEAST_MARGIN)
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
        counts = {name: value * chooses for name, value in counts.items()}
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
    if not numbers["samples"]:
        return f"the float model chooses no class by a margin of {LEAST_MARGIN:g}"
    same = numbers["samples"] - numbers["changed"]
    return (
        f"same top-1 class on {same:.0f} of {numbers['samples']:.0f} samples "
        f"({percent(numbers['top1'])}), the float model's choice among the quant model's top 5 on "
        f"{percent(numbers['top5'])}; mean margin {numbers['float_margin']:.3f} in float, "
        f"{numbers['quant_margin']:.3f} in quant"
    )
