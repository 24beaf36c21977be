"""What is known of one metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from qdebug.vocabulary.numbers import WRITERS, Form

if TYPE_CHECKING:
    from qdebug.metrics.moments import Moments

Float64Array = npt.NDArray[np.float64]
Formula = Callable[["Moments"], Float64Array]
KEY = "metric"
"""Key of the entry in its field's metadata."""


@dataclass(frozen=True)
class Metric:
    """One number about a tensor's error.

    Policy for special cases, the same for all: values that are equal give the ideal value, zero
    or not; no epsilon stands in a denominator; a tensor whose values are not all finite has NaN
    (its state says ``nonfinite``).

    Attributes:
        title: for people.
        unit: ``dB``, or empty for a ratio or the tensor's own unit.
        better: which direction is good; ``one`` and ``zero`` name the ideal value.
        formula: for people, with ``f`` the float value, ``q`` the quant value, ``e = q - f``.
        compute_raw: the formula, row-wise over moments, float64 ``[rows]``.
        ideal: the value where no value differs.
        float_zero: the value where only the float side is zero throughout; None: by the formula.
        quant_zero: the same of the quant side.
        form: how its value is written.
        head: short title, at most 13 characters.
        word: its accumulated value's name in filters.
        aliases: other names of that.
        local_word: its local value's name in filters; empty for an l before ``word``.
        note: what it means beyond its formula, one phrase.
        lead: place among the metrics that tables of layers and outputs show; None for the others,
            which stand where there is room for all.
        name: field name in ``run.json``; taken from the field.
    """

    title: str
    better: Literal["higher", "lower", "one", "zero"]
    formula: str
    compute_raw: Formula
    ideal: float
    word: str
    unit: str = ""
    float_zero: float | None = None
    quant_zero: float | None = None
    form: Form = "number"
    head: str = ""
    aliases: tuple[str, ...] = ()
    local_word: str = ""
    note: str = ""
    lead: int | None = None
    name: str = ""

    @property
    def heading(self) -> str:
        """Title and unit, for a row or a column: ``SQNR, dB``."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def short(self) -> str:
        """The short title."""
        return self.head or self.title

    @property
    def meaning(self) -> str:
        """Formula, unit and note as one sentence."""
        formula = f"{self.formula}, {self.unit}" if self.unit else self.formula
        return f"{formula}; {self.note}" if self.note else formula

    def compute(self, moments: Moments) -> Float64Array:
        """The metric of each row, float64 ``[rows]``; does not look at ``nonfinite`` counts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.compute_raw(moments)
        float_zero, quant_zero = moments.ff == 0, moments.qq == 0
        if self.quant_zero is not None:
            value = np.where(quant_zero & ~float_zero, self.quant_zero, value)
        if self.float_zero is not None:
            value = np.where(float_zero & ~quant_zero, self.float_zero, value)
        return np.where(moments.ee == 0, self.ideal, value)

    def badness(self, value: float) -> float:
        """A number that is larger for a worse value; NaN is the worst of all."""
        if math.isnan(value):
            return math.inf
        distance = {
            "higher": -value,
            "lower": value,
            "one": abs(value - 1),
            "zero": abs(value),
        }
        return distance[self.better]

    def write(self, value: float | None, limit: float | None = None) -> str:
        """A value as text, without its unit; None is a dash.

        Args:
            value: of this metric.
            limit: that stands beside it, if one does; the text then lies on the value's side.
        """
        return WRITERS[self.form](value, limit)

    def told(self, value: float | None, limit: float | None = None) -> str:
        """Title, value and unit: ``SQNR 20.1 dB``."""
        return f"{self.title} {self.write(value, limit)} {self.unit}".rstrip()
