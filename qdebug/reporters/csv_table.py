"""The layers as CSV, one row a layer, for spreadsheets and scripts.

Numbers have nine significant digits; infinities are ``inf`` and ``-inf``, undefined numbers
``nan``, and what was not measured is empty. A text that a spreadsheet would take for a formula is
preceded by an apostrophe.
"""

from __future__ import annotations

import csv as writer
import dataclasses
import io
from collections.abc import Callable
from typing import Any

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.reporters.base import Reporter
from qdebug.run.model import Layer, LocalError, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import shape

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_LOCAL = tuple(field.name for field in dataclasses.fields(LocalError))


def _of(part: str, name: str) -> Callable[[Layer], Any]:
    return lambda layer: getattr(getattr(layer, part), name, None)


COLUMNS: dict[str, Callable[[Layer], Any]] = {
    "index": lambda layer: layer.index,
    "name": lambda layer: layer.name,
    "op": lambda layer: layer.op,
    "state": lambda layer: layer.state,
    "role": lambda layer: layer.role,
    "float_tensor": lambda layer: layer.float_tensor,
    "quant_tensor": lambda layer: layer.quant_tensor,
    "shape": lambda layer: shape(layer.shape),
    "paired_by": lambda layer: layer.paired_by,
    **{f"accumulated_{name}": _of("accumulated", name) for name in METRICS},
    **{f"local_{name}": _of("local", name) for name in _LOCAL},
    **{f"sensitivity_{metric.name}": _of("sensitivity", metric.name) for metric in LEAD},
    "sensitivity_output": _of("sensitivity", "output"),
    "clipped": lambda layer: layer.clipped,
    "codes_used": lambda layer: layer.codes_used,
    "dtype": _of("quant", "dtype"),
    "worst_channel": _of("worst_channel", "index"),
    "worst_channel_sqnr_db": _of("worst_channel", "sqnr_db"),
    "worst_sample": lambda layer: layer.worst_sample,
    "weight_sqnr_db": _of("weight", "sqnr_db"),
    "reason": lambda layer: layer.reason,
}
"""Columns by name, in order."""


class CsvReporter(Reporter):
    """One row a layer, in execution order."""

    suffixes = (".csv",)

    def render(self, run: Run) -> str:
        """The table with its header line."""
        buffer = io.StringIO()
        table = writer.writer(buffer, lineterminator="\n")
        table.writerow(COLUMNS)
        for layer in run.layers:
            table.writerow([_cell(get(layer)) for get in COLUMNS.values()])
        return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"
    text = visible(value)
    is_formula = isinstance(value, str) and text.startswith(_FORMULA_STARTS)
    return f"'{text}" if is_formula else text


csv = CsvReporter()
