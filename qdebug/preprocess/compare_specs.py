"""The difference between two declared pipelines, in words and on a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.apply import arrange, prepare_file, unarrange
from qdebug.preprocess.check import output_effect
from qdebug.preprocess.differences import Difference, differences
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Layout

Model = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]


@dataclass(frozen=True)
class SpecComparison:
    """Two pipelines, compared."""

    differences: tuple[Difference, ...]
    max_codes: float | None = None
    """Largest difference on the picture, in pixel codes of the first pipeline; None without a
    picture, or if the shapes differ."""
    mean_codes: float | None = None
    changed: float | None = None
    """Share of the values that differ by more than a hundredth of a code, 0..1."""
    output_sqnr_db: float | None = None
    """SQNR of the float model's worst output or column, second pipeline against the first, dB."""


def compare_specs(
    one: PreprocessSpec,
    two: PreprocessSpec,
    picture: Path | None = None,
    model: Model | None = None,
) -> SpecComparison:
    """Compare two pipelines.

    Args:
        one: the pipeline that is right.
        two: the other one.
        picture: a picture to measure the difference on.
        model: the float model, to measure the effect on its output.

    Raises:
        InputError: the picture cannot be read, or a pipeline cannot be carried out on it.
    """
    named = tuple(differences(one, two))
    if picture is None:
        return SpecComparison(named)
    first = prepare_file(picture, one).tensor
    layout = one.find(Layout) or Layout("nchw")
    hwc = unarrange(prepare_file(picture, two).tensor, two.find(Layout) or Layout("nchw"))
    second = arrange(hwc, layout)
    if first.shape != second.shape:
        return SpecComparison(named)
    gain = min(abs(g) for g in one.affine.gain)
    gap = np.abs(second.astype(np.float64) - first.astype(np.float64)) / gain
    effect = None
    if model:
        right, wrong = model(first), model(second.astype(first.dtype))
        effect = output_effect(right, wrong)
    return SpecComparison(
        named, float(gap.max()), float(gap.mean()), float((gap > 0.01).mean()), effect
    )
