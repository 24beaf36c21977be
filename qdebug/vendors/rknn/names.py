"""RKNN-Toolkit2: what it makes of names, in its tables and in its dumps alike."""

from __future__ import annotations

SWAPPED = r".+_sw(?:[-_]\w+)*"
"""A tensor between two operators that the toolkit exchanged: a Sigmoid behind a Reshape is computed
before it, and the Reshape's name is then that of the Sigmoid's result behind it. Found with
RKNN-Toolkit2 2.5.0's own program."""
WHY_SWAPPED = "RKNN swaps two operators: it holds what the one behind computes"
