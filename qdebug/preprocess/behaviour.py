"""A hint from the float model's own confidence under other preprocessing.

A model is usually surer of itself on the input it was trained for. On one picture that proves
nothing, so the result is a hint and never a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.apply import prepare_file
from qdebug.preprocess.normalization import KNOWN
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    ARITHMETIC,
    GEOMETRIC,
    Color,
    Letterbox,
    Normalize,
    Resize,
    Scale,
    Step,
)
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

Model = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]

_CLEARLY = 1.25
_LEAST_GAIN = 0.05
_ENOUGH = 8


@dataclass(frozen=True)
class Hint:
    """The confidence under one alternative."""

    words: str
    spec: PreprocessSpec
    confidence: float
    """Mean over the pictures, 0..1."""
    wins: int
    """Pictures on which it beats the declared pipeline clearly."""


def confidence_of(outputs: Sequence[NDArray[Any]]) -> float | None:
    """Read a top-1 probability or the best detection score; None for other outputs.

    Classification: one vector; a softmax is applied unless it sums to 1. Detection: [1, N, 5 + C]
    with objectness or [1, 4 + C, N] without, as YOLO exports have.
    """
    first = np.asarray(outputs[0], np.float64)
    if first.ndim == 2 and first.shape[0] == 1 and first.shape[1] >= 2:
        return _top1(first[0])
    if first.ndim == 3 and first.shape[0] == 1:
        rows = first[0]
        if rows.shape[0] > rows.shape[1] >= 6:
            scores = rows[:, 4:5] * rows[:, 5:]
        elif rows.shape[1] > rows.shape[0] >= 5:
            scores = rows[4:]
        else:
            return None
        inside = scores.min() >= -1e-3 and scores.max() <= 1.001
        return float(scores.max()) if inside else None
    return None


def _top1(values: NDArray[np.float64]) -> float:
    if values.min() >= 0 and abs(values.sum() - 1) < 1e-3:
        return float(values.max())
    powers = np.exp(values - values.max())
    return float(powers.max() / powers.sum())


def alternatives(spec: PreprocessSpec) -> dict[str, PreprocessSpec]:
    """Return the usual suspects: other channel order, range, normalization and geometry."""
    found = {}
    color = spec.find(Color)
    if color and color.order != "gray":
        other = Color("bgr" if color.order == "rgb" else "rgb")
        found[f"{other.order.upper()} instead of {color.order.upper()}"] = _replaced(
            spec, color, (other,)
        )
    imagenet = tuple(np.round(np.array(n) / 255, 6) for n in KNOWN["ImageNet's mean and std"])
    ranges: dict[str, tuple[Step, ...]] = {
        "0..1": (Scale(255.0, divide=True),),
        "0..255": (),
        "-1..1": (Normalize((127.5,), (127.5,)),),
        "ImageNet's mean and std": (
            Scale(255.0, divide=True),
            Normalize(tuple(imagenet[0].tolist()), tuple(imagenet[1].tolist())),
        ),
    }
    for words, steps in ranges.items():
        changed = _with_arithmetic(spec, steps)
        if not np.allclose(changed.affine.gain, spec.affine.gain, rtol=0.01):
            found[words] = changed
    box = spec.find(Letterbox)
    if box and box.pad is not None:
        found["stretched"] = _replaced(spec, box, (Resize(box.size, box.resampler),))
    stretch = spec.find(Resize)
    if stretch and len([s for s in spec.steps if isinstance(s, GEOMETRIC)]) == 1:
        box = Letterbox(stretch.size, resampler=stretch.resampler)
        found["letterboxed"] = _replaced(spec, stretch, (box,))
    return found


def _replaced(spec: PreprocessSpec, old: Step, new: tuple[Step, ...]) -> PreprocessSpec:
    steps: list[Step] = []
    for step in spec.steps:
        steps += new if step is old else (step,)
    return PreprocessSpec(tuple(steps))


def _with_arithmetic(spec: PreprocessSpec, steps: tuple[Step, ...]) -> PreprocessSpec:
    color = max((i for i, s in enumerate(spec.steps) if isinstance(s, Color)), default=-1)
    head = [s for s in spec.steps[: color + 1] if not isinstance(s, ARITHMETIC)]
    tail = [s for s in spec.steps[color + 1 :] if not isinstance(s, ARITHMETIC)]
    return PreprocessSpec((*head, *steps, *tail))


def hints(spec: PreprocessSpec, pictures: Sequence[Path], model: Model) -> tuple[float, list[Hint]]:
    """Measure the model's confidence under the declared pipeline and under each alternative.

    Args:
        spec: the declared pipeline.
        pictures: one or more pictures; more make the hint stronger.
        model: the float model.

    Returns:
        The mean confidence as declared, and the alternatives that beat it clearly on more than
        half of the pictures, best first.

    Raises:
        InputError: a picture cannot be read, or the output is no classification or detection.
    """
    declared = [_confidence(spec, path, model) for path in pictures]
    found = []
    for words, other in alternatives(spec).items():
        scores = [_confidence(other, path, model) for path in pictures]
        wins = sum(
            s > d * _CLEARLY and s > d + _LEAST_GAIN for s, d in zip(scores, declared, strict=True)
        )
        if wins * 2 > len(pictures):
            found.append(Hint(words, other, float(np.mean(scores)), wins))
    found.sort(key=lambda hint: -hint.confidence)
    return float(np.mean(declared)), found


def _confidence(spec: PreprocessSpec, path: Path, model: Model) -> float:
    value = confidence_of(model(prepare_file(path, spec).tensor))
    if value is None:
        raise InputError("the model's output is neither a classification nor a detection")
    return value


def hint_finding(spec: PreprocessSpec, pictures: Sequence[Path], model: Model) -> Finding:
    """Make the finding of `hints`: info at most, with the confidence of a hint.

    Raises:
        InputError: a picture cannot be read.
    """
    kind = KINDS["not-identifiable"]
    title = "The model's own confidence under other preprocessing"
    try:
        declared, found = hints(spec, pictures, model)
    except InputError as error:
        return kind.found("not_applicable", title, error.message)
    count = f"{len(pictures)} picture{'s' if len(pictures) > 1 else ''}"
    if not found:
        seen = f"No alternative makes the float model clearly surer ({declared:.2f} on {count})"
        return kind.found("pass", title, seen, confidence="low")
    told = "; ".join(f"{h.words}: {h.confidence:.2f}" for h in found[:3])
    seen = f"The float model is surer of itself on {count} with {told}; as declared {declared:.2f}"
    return kind.found(
        "info",
        title,
        seen,
        f"A hint, no proof: try `{found[0].spec}`, and check what was fed with `--fed`.",
        confidence="low" if len(pictures) < _ENOUGH else "medium",
    )
