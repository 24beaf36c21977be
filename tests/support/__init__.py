"""What the tests share: synthetic runs, hostile names, small graphs."""

from __future__ import annotations

from tests.support.hostile import HOSTILE_NAMES
from tests.support.synthetic import synthetic_run

__all__ = ["HOSTILE_NAMES", "synthetic_run"]
