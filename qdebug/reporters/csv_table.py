"""The layers as one flat table, a row a layer: as CSV for spreadsheets, and for pandas.

Numbers have nine significant digits; infinities are ``inf`` and ``-inf``, undefined numbers
``nan``, and what was not measured is empty. A text that a spreadsheet would take for a formula is
preceded by an apostrophe.
"""

from __future__ import annotations

import csv as writer
import dataclasses
import io
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qdebug.errors import UsageError
from qdebug.metrics.metric import LEAD, METRICS
from qdebug.reporters.base import Reporter
from qdebug.run.model import Layer, LocalError, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import shape

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@")
_LOCAL = tuple(field.name for field in dataclasses.fields(LocalError))


def _of(part: str, name: str) -> Callable[[Layer], Any]:
    return lambda layer: getattr(getattr(layer, part), name, None)


def _on_board(part: str, name: str) -> Callable[[Layer], Any]:
    return lambda layer: getattr(getattr(layer.board, part, None), name, None)


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
    "board_state": _of("board", "state"),
    "board_reason": _of("board", "reason"),
    "board_tensor": _of("board", "tensor"),
    "board_mapped_by": _of("board", "mapped_by"),
    "board_layout": _of("board", "layout"),
    **{f"board_{metric.name}": _on_board("against_quant", metric.name) for metric in LEAD},
    **{f"board_float_{metric.name}": _on_board("against_float", metric.name) for metric in LEAD},
    **{f"board_own_{metric.name}": _on_board("own", metric.name) for metric in LEAD},
    "board_own_steps": _of("board", "own_steps"),
    "board_own_gain": _of("board", "own_gain"),
}
"""Columns by name, in order."""
_NUMBERS = frozenset(
    (
        *(f"accumulated_{name}" for name in METRICS),
        *(f"local_{name}" for name in _LOCAL),
        *(f"sensitivity_{metric.name}" for metric in LEAD),
        "clipped",
        "codes_used",
        "worst_channel",
        "worst_channel_sqnr_db",
        "weight_sqnr_db",
        *(f"board_{part}{metric.name}" for part in ("", "float_", "own_") for metric in LEAD),
        "board_own_steps",
        "board_own_gain",
    )
)
"""Columns of numbers that may be missing."""


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

    def frame(self, run: Run) -> pd.DataFrame:
        """The same columns as a table of pandas, indexed by the layers' number.

        What was not measured is NaN; columns of numbers are float64 also where none was measured,
        so that tables of several runs stack.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageError("to_pandas needs pandas", 'pip install "qdebug[pandas]"') from error
        columns = {name: [get(layer) for layer in run.layers] for name, get in COLUMNS.items()}
        numeric = [name for name in columns if name in _NUMBERS]
        table = pd.DataFrame(columns).astype(dict.fromkeys(numeric, "float64"))
        return table.set_index("index")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"
    text = visible(value)
    # Spreadsheets skip spaces, and some take the full-width forms for the plain ones.
    begins = unicodedata.normalize("NFKC", text).lstrip()
    is_formula = isinstance(value, str) and begins.startswith(_FORMULA_STARTS)
    return f"'{text}" if is_formula else text


csv = CsvReporter()
