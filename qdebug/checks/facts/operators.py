"""Kinds of operators that several checks tell apart."""

from __future__ import annotations

MOVING = frozenset(
    "Transpose Reshape Concat Identity Squeeze Unsqueeze Flatten Slice Split Gather Pad".split()
)
"""Operators that move values and compute none."""
