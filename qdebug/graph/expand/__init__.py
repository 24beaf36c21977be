"""QOperator graphs as QDQ: every operator on codes as its float form between quantizers.

``QLinearConv`` and its like carry all that a ``QuantizeLinear`` and a ``DequantizeLinear`` would,
so a graph of them can be written out as one of those (``expand``). Whatever asks what would happen
if one quantizer were another runs the expanded graph; what is measured is the graph as it is.
"""

from __future__ import annotations

from qdebug.graph.expand.expansion import Expansion
from qdebug.graph.expand.writer import expand

__all__ = ["Expansion", "expand"]
