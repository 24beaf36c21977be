"""A run as node data for Model Explorer: the float graph coloured by accumulated SQNR.

Open it with ``model-explorer float.onnx --extensions model_explorer_onnx --node_data_paths FILE``.
Keys are node names; numbers that are not finite have no place in the format and are left out.
"""

from __future__ import annotations

import json
import math
from typing import Any

from qdebug.reporters.base import Reporter
from qdebug.reporters.text import accumulated_db
from qdebug.run.model import Run
from qdebug.run.standing import sqnr_limit

_COLORS = ("#d73027", "#fc8d59", "#fee08b", "#91cf60", "#1a9850")
_STEP_DB = 10.0
_BEST_DB = 1e9


class ModelExplorerReporter(Reporter):
    """Node data of one graph; red is below the limit, green far above it."""

    suffixes = (".model-explorer.json", ".nodedata.json")

    def render(self, run: Run) -> str:
        """The JSON text."""
        data = {
            "name": "qdebug: accumulated SQNR, dB",
            "results": _results(run),
            "thresholds": _thresholds(sqnr_limit(run)),
        }
        return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def _results(run: Run) -> dict[str, dict[str, float]]:
    """The lowest value for each node; a node may make several tensors."""
    lowest: dict[str, float] = {}
    for layer in run.layers:
        value = accumulated_db(layer)
        if value is not None and math.isfinite(value):
            lowest[layer.name] = min(value, lowest.get(layer.name, math.inf))
    return {name: {"value": float(f"{value:.6g}")} for name, value in lowest.items()}


def _thresholds(limit: float) -> list[dict[str, Any]]:
    """Upper ends of the colours: worse than half way, below, and in steps above the limit."""
    ends = [limit - _STEP_DB, limit, limit + _STEP_DB, limit + 2 * _STEP_DB, _BEST_DB]
    return [{"value": end, "bgColor": color} for end, color in zip(ends, _COLORS, strict=True)]


model_explorer = ModelExplorerReporter()
