"""The main plots as PNG or SVG, drawn by Matplotlib for slides and other documents.

Equal runs give equal bytes with one version of Matplotlib: no dates, fixed identifiers.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from qdebug.reporters.base import Reporter
from qdebug.reporters.ranking import worst_first
from qdebug.reporters.text import accumulated_db, layer_label, local_db, sensitivity_db
from qdebug.run.arrays import RunArrays
from qdebug.run.model import Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import decibel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SERIES = (
    ("accumulated", accumulated_db, "#0b5cad", "-"),
    ("local", local_db, "#b45309", "--"),
    ("sensitivity", sensitivity_db, "#0f766e", ":"),
)
_LIMIT_COLOR = "#b42318"
_HISTOGRAMS = 3
_TOP_DB = 80.0
_STYLE: Any = {
    "svg.hashsalt": "qdebug",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class PlotReporter(Reporter):
    """Error along the network, and the value histograms of the worst layers.

    Args:
        kind: ``png`` or ``svg``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.suffixes = (f".{kind}",)

    def render(self, run: Run) -> bytes:
        """The picture."""
        import matplotlib as mpl

        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            # A name in a script that the font lacks is drawn with boxes; nobody can act on that.
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
            figure = draw(run)
            buffer = io.BytesIO()
            metadata: dict[str, Any] = {"Date": None} if self.kind == "svg" else {"Software": None}
            figure.savefig(buffer, format=self.kind, dpi=144, metadata=metadata)
        return buffer.getvalue()


def draw(run: Run) -> Figure:
    """The figure, without a window or global state."""
    from matplotlib.figure import Figure

    arrays = run.arrays
    shown = [layer for layer in worst_first(run) if arrays.histogram(layer.index)]
    shown = shown[:_HISTOGRAMS]
    figure = Figure(figsize=(11, 6.4 if shown else 3.6), layout="constrained")
    grid = figure.add_gridspec(
        2 if shown else 1, max(1, len(shown)), height_ratios=(3, 2)[: 1 + bool(shown)]
    )
    _draw_network(figure.add_subplot(grid[0, :]), run)
    for column, layer in enumerate(shown):
        _draw_histogram(figure.add_subplot(grid[1, column]), layer, arrays)
    return figure


def _draw_network(axes: Axes, run: Run) -> None:
    indices = [layer.index for layer in run.layers]
    for name, value_of, color, line in _SERIES:
        values = [_plotted(value_of(layer)) for layer in run.layers]
        if any(not math.isnan(value) for value in values):
            axes.plot(indices, values, line, color=color, label=name, linewidth=1.4)
    limit = sqnr_limit(run)
    axes.axhline(limit, color=_LIMIT_COLOR, linewidth=0.9, label=f"limit {decibel(limit)} dB")
    sources = [layer for layer in run.layers if layer.role == "source"]
    if sources:
        at = [_plotted(local_db(layer)) for layer in sources]
        places = [layer.index for layer in sources]
        axes.plot(places, at, "v", color=_LIMIT_COLOR, markersize=7, label="source")
    axes.set_xlabel("layer, in execution order")
    axes.set_ylabel("SQNR, dB (taller is worse)")
    axes.invert_yaxis()
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.14), frameon=False)


def _plotted(value: float | None) -> float:
    if value is None or math.isnan(value):
        return math.nan
    return min(max(value, -20.0), _TOP_DB)


def _draw_histogram(axes: Axes, layer: Layer, arrays: RunArrays) -> None:
    found = arrays.histogram(layer.index)
    if found is None:
        return
    axes.stairs(found.float, found.edges, fill=True, alpha=0.35, color=_SERIES[0][2], label="float")
    axes.stairs(found.quant, found.edges, color=_SERIES[1][2], label="quant", linewidth=1.2)
    axes.set_yscale("symlog")
    axes.set_yticks([])
    axes.set_ylabel("count, log scale")
    label = layer_label(layer)
    short = label if len(label) <= 40 else f"{label[:15]}…{label[-24:]}"
    axes.set_title(short, fontsize=9, parse_math=False)
    axes.set_xlabel("value")
    axes.legend(frameon=False, fontsize=8)


png = PlotReporter("png")
svg = PlotReporter("svg")
