"""Horizon: the calibrated graph, and the tables of precision that its two builders take."""

from __future__ import annotations

from qdebug.vendors.encodings import ToolchainEncodings
from qdebug.vendors.horizon.calibrated import OPERATORS, expand

ENCODINGS = ToolchainEncodings(
    operators=OPERATORS,
    expand=expand,
    graph_title="Horizon calibrated model",
)
