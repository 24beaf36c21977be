"""The matrix of samples and layers: one bad picture, or always?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdebug.reporters.ranking import worst_first
from qdebug.run.model import Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import decibel

_MAX_SAMPLES = 32
_MAX_LAYERS = 12
_SHADES = 4
_STEP_DB = 6.0
"""Each shade stands for this many dB below the limit."""


@dataclass(frozen=True)
class MatrixRow:
    """One sample: its name and, for each column, the SQNR as text and its shade 0..4."""

    sample: str
    cells: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Matrix:
    """The shown part of the matrix, worst sample first."""

    layers: tuple[Layer, ...]
    rows: tuple[MatrixRow, ...]
    hidden_samples: int


def sample_matrix(run: Run) -> Matrix | None:
    """The worst layers against all samples; None where no layer has per-sample numbers."""
    measured = [
        layer
        for layer in worst_first(run)
        if layer.sample_sqnr_db and len(layer.sample_sqnr_db) == len(run.samples)
    ]
    if not measured:
        return None
    chosen = sorted(measured[:_MAX_LAYERS], key=lambda layer: layer.index)
    order = sorted(range(len(run.samples)), key=lambda i: _badness(chosen, i))
    limit = sqnr_limit(run)
    rows = tuple(
        MatrixRow(
            run.samples[i].name,
            tuple(
                (decibel(layer.sample_sqnr_db[i]), _shade(layer.sample_sqnr_db[i], limit))
                for layer in chosen
            ),
        )
        for i in order[:_MAX_SAMPLES]
    )
    return Matrix(tuple(chosen), rows, max(0, len(run.samples) - _MAX_SAMPLES))


def _badness(layers: list[Layer], sample: int) -> float:
    values = [layer.sample_sqnr_db[sample] for layer in layers]
    clamped = [min(max(v, -60.0), 60.0) for v in values if not math.isnan(v)]
    return sum(clamped) / len(clamped) if clamped else math.inf


def _shade(value: float, limit: float) -> int:
    """0 for a value that holds the limit, up to 4; NaN is as bad as can be."""
    if math.isnan(value):
        return _SHADES
    steps = (limit - value) / _STEP_DB
    return math.ceil(min(max(steps, 0.0), _SHADES))
