"""The detail pane of a layer: its tabs, each a function from a ``View`` to lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.text import Text

from qdebug.tui.detail.distribution import channels, histogram, quantization, samples
from qdebug.tui.detail.overview import overview
from qdebug.tui.detail.relations import findings, neighbours
from qdebug.tui.detail.view import View

TABS: Mapping[str, Callable[[View], list[Text]]] = {
    "Overview": overview,
    "Histogram": histogram,
    "Channels": channels,
    "Samples": samples,
    "Codes": quantization,
    "Graph": neighbours,
    "Findings": findings,
}
"""The tabs that need nothing but the run's numbers; the tensor tab reads kept values."""

TENSOR = "Tensor"
TAB_NAMES = (*TABS, TENSOR)

__all__ = ["TABS", "TAB_NAMES", "TENSOR", "View"]
