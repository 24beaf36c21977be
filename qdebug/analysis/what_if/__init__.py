"""What if: the quant graph with some of its quantization undone or done otherwise, run again.

This is how an estimated gain is computed rather than guessed: the same samples, the same
simulation, one thing changed, and the error at the model's outputs before and after. A tensor is
freed by letting its consumers read what comes before its Q/DQ pair, a weight by putting the float
model's in its place, a range by another Q/DQ pair.

Asking is ``runs`` (with ``bounds``: when to stop asking, and ``lanes``: which thread runs what).
Running is ``simulation`` (with ``kept`` and ``cuts``: where a run may begin, ``switches``: several
changes in one session, ``tails``: a late change on top of an earlier one). Graphs are written by
``building``.
"""

from __future__ import annotations

from qdebug.analysis.what_if.changes import COUNTED_DB, Change, Gain, Outcome, Part
from qdebug.analysis.what_if.replacing import (
    clip_bounds,
    dequantized,
    emit_activation,
    folded_activation,
    in_quant_layout,
)
from qdebug.analysis.what_if.runs import WhatIf
from qdebug.analysis.what_if.simulation import SAMPLES, Simulation

__all__ = [
    "COUNTED_DB",
    "SAMPLES",
    "Change",
    "Gain",
    "Outcome",
    "Part",
    "Simulation",
    "WhatIf",
    "clip_bounds",
    "dequantized",
    "emit_activation",
    "folded_activation",
    "in_quant_layout",
]
