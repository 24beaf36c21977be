"""How many of its codes a value needs, and what a part under another's scale is left."""

from __future__ import annotations

FEW_CODES = 16
"""Values that get fewer of the 256 codes keep less than four of their eight bits: ranges that do
that to a part of a tensor are looked at. By judgement."""
UNLIKE_TIMES = 256 / FEW_CODES
"""A part so many times smaller than the largest is left ``FEW_CODES`` under one 8-bit scale."""
