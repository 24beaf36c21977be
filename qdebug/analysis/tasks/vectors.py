"""One vector a picture: landmarks and other regressed numbers, or an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    class_names,
    share,
)
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

EMBEDDING_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1280, 2048)
"""Usual lengths of feature vectors; an output of such a length needs a sign that it is scores."""
UNIT_NORM = 1e-3
SCORE_WORDS = ("logit", "prob", "class", "score", "softmax", "cls")
_EMBEDDING_WORDS = ("embed", "feature", "reid", "fc1", "descriptor")
_POINT_WORDS = ("landmark", "keypoint", "kps", "points", "coord")
_CLOSE = 0.05
"""A point within so much of the points' extent is right. Faces are usually judged at 0.05 to 0.1
of the distance between the eyes or of the box (300W, WFLW)."""
_EVEN = 0.01
"""Neighbours whose cosines differ by less are even: either is right. By judgement."""
_LEAST_NEIGHBOURS = 3
REGRESSION_LIMITS = TaskLimits("close", warn=0.9, fail=0.5)
EMBEDDING_LIMITS = TaskLimits("cosine", warn=0.95, fail=0.8)
"""By judgement: face recognition's int8 twins that keep their accuracy stay above 0.98; at 0.8 the
error is as large as the usual distance between two pictures of one person."""


def vector(value: Array) -> Array | None:
    """The values of one sample as a vector; None for an output of another shape."""
    if value.ndim < 2 or value.shape[0] != 1 or value.size < 1:
        return None
    sides = [side for side in value.shape[1:] if side != 1]
    if value.ndim == 3 and sides == list(value.shape[1:2]):
        return None  # [1, n, 1] is a map of n cells
    return value.reshape(-1) if len(sides) <= 1 else None


def recognize_embedding(facts: OutputFacts) -> Task | None:
    """A task for the only vector of the outputs, where it is a feature vector."""
    found = _only_vector(facts)
    if found is None:
        return None
    name, values = found
    if any(word in name.lower() for word in SCORE_WORDS):
        return None
    if len(class_names(facts.metadata)) == values.size:
        return None
    named = next((w for w in _EMBEDDING_WORDS if w in name.lower()), None)
    unit = values.size > 8 and abs(float(np.linalg.norm(values)) - 1) < UNIT_NORM
    is_distribution = unit and values.min() >= 0 and float(values.sum()) < 1 + UNIT_NORM
    if is_distribution or not (named or unit or values.size in EMBEDDING_SIZES):
        return None
    return embedding(facts, told=f"output {name} is named so" if named else "")


def embedding(facts: OutputFacts, told: str = "") -> Task | None:
    """The task by the first vector among the outputs, however it looks."""
    found = _first_vector(facts)
    if found is None or found[1].size < 2:
        return None
    name = found[0]
    return Task(
        "embedding",
        f"vector of {found[1].size} in {name}",
        _Embedding(name),
        _total_embedding,
        _describe_embedding,
        EMBEDDING_LIMITS,
        "decisions",
        reads=(name,),
        behaves=lambda outputs: _is_unit(outputs[name]),
        told=told,
        across=_neighbours,
    )


def _is_unit(value: Array) -> Behaviour:
    unit = abs(float(np.linalg.norm(value)) - 1) < UNIT_NORM
    return Behaviour(True if unit else None, "the vector has length 1" if unit else "any length")


def recognize_regression(facts: OutputFacts) -> Task | None:
    """A task for a vector whose name says that it holds points."""
    found = _only_vector(facts)
    if found is None or not any(word in found[0].lower() for word in _POINT_WORDS):
        return None
    return regression(facts, told=f"output {found[0]} is named so")


def regression(facts: OutputFacts, told: str = "") -> Task | None:
    """The task by every small output, however it looks."""
    names = tuple(n for n, v in facts.outputs.items() if v.ndim >= 1 and 0 < v.size <= 10000)
    if not names:
        return None
    size = sum(facts.outputs[name].size for name in names)
    return Task(
        "regression",
        f"{size} numbers in {', '.join(names)}",
        _Regression(names),
        _total_regression,
        _describe_regression,
        REGRESSION_LIMITS,
        "decisions",
        reads=names,
        told=told,
    )


def _first_vector(facts: OutputFacts) -> tuple[str, Array] | None:
    found = ((name, vector(value)) for name, value in facts.outputs.items())
    return next(((name, v) for name, v in found if v is not None), None)


def _only_vector(facts: OutputFacts) -> tuple[str, Array] | None:
    return _first_vector(facts) if len(facts.outputs) == 1 else None


def cosine(first: Array, second: Array) -> float:
    """Cosine of two vectors; 1 where both are zero, 0 where one is."""
    norms = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not all(norms):
        return float(norms[0] == norms[1])
    return float(first @ second / norms[0] / norms[1])


@dataclass(frozen=True)
class _Embedding:
    output: str

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = (_flat(outputs[self.output]) for outputs in (reference, test))
        found = cosine(f, q)
        wrong = float(found < EMBEDDING_LIMITS.fail)
        counts = {"decisions": 1.0, "cosine": found, "wrong": wrong}
        return Effect({"cosine": round(found, 5)}, counts, 1 - found, kept=(f, q))


def _flat(value: Array) -> Floats:
    return np.nan_to_num(np.asarray(value, np.float64).reshape(-1), posinf=0.0, neginf=0.0)


def _neighbours(kept: Sequence[tuple[Array, Array]]) -> dict[str, float]:
    """How often the nearest other sample is the same one, or as near as that one in float."""
    if len(kept) < _LEAST_NEIGHBOURS:
        return {}
    near = [
        np.array([[cosine(a, b) for b in side] for a in side]) for side in zip(*kept, strict=True)
    ]
    for table in near:
        np.fill_diagonal(table, -np.inf)
    chosen = near[1].argmax(axis=1)
    at = np.arange(len(kept))
    same = near[0][at, chosen] >= near[0].max(axis=1) - _EVEN
    return {"neighbours": float(same.sum()), "with_neighbours": float(len(kept))}


def _total_embedding(counts: Mapping[str, float]) -> dict[str, float]:
    numbers = {"cosine": share(counts["cosine"], counts["decisions"])}
    if counts.get("with_neighbours"):
        numbers["neighbours"] = counts["neighbours"] / counts["with_neighbours"]
    return numbers | {"samples": counts["decisions"]}


def _describe_embedding(numbers: Mapping[str, float]) -> str:
    text = f"mean cosine of the vectors {numbers['cosine']:.4f}"
    if "neighbours" in numbers:
        text += (
            f", the same nearest other sample for {percent(numbers['neighbours'])} of "
            f"{numbers['samples']:.0f}"
        )
    return text


@dataclass(frozen=True)
class _Regression:
    """Points where there is an even count of numbers of one vector, single numbers otherwise."""

    outputs: tuple[str, ...]

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        errors = np.concatenate(
            [_point_errors(_flat(reference[n]), _flat(test[n])) for n in self.outputs]
        )
        close = int(np.count_nonzero(errors <= _CLOSE))
        counts = {
            "decisions": float(len(errors)),
            "wrong": float(len(errors) - close),
            "error": float(errors.sum()),
        }
        facts = {"error": round(float(errors.mean()), 5), "close": close, "of": len(errors)}
        return Effect(facts, counts, float(errors.mean()))


def _point_errors(f: Floats, q: Floats) -> Floats:
    """Errors as shares of the extent of the float values.

    Distances of points where these are pairs, which is the normalized point error; else magnitudes.
    """
    if f.size >= 4 and f.size % 2 == 0:
        points, moved = f.reshape(-1, 2), q.reshape(-1, 2)
        extent = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
        distance = np.linalg.norm(moved - points, axis=1)
    else:
        extent, distance = float(np.sqrt(np.mean(f * f))), np.abs(q - f)
    if extent == 0:
        return np.where(distance == 0, 0.0, 1.0)
    return np.asarray(distance / extent)


def _total_regression(counts: Mapping[str, float]) -> dict[str, float]:
    right = counts["decisions"] - counts["wrong"]
    return {
        "close": share(right, counts["decisions"]),
        "error": counts["error"] / max(counts["decisions"], 1),
    }


def _describe_regression(numbers: Mapping[str, float]) -> str:
    return (
        f"{percent(numbers['close'])} of the values are within {percent(_CLOSE)} of the values' "
        f"extent, mean normalized error {percent(min(numbers['error'], 10.0))}"
    )
