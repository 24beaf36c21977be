"""Damaged files from a fixed seed; ``python -m benchmarks.fuzz`` makes thousands."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from tests.support.fuzz import FAMILIES, run_cases
from tests.support.fuzz.base import make_base

SEED = 1318
CASES = 7 * len(FAMILIES)


@pytest.mark.slow
def test_damaged_files_end_in_one_sentence(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    outcomes = list(run_cases(base, SEED, range(CASES), tmp_path))
    assert collections.Counter(o.family for o in outcomes).keys() == FAMILIES.keys()
    assert [(o.number, o.family, o.wrong, o.err[:300]) for o in outcomes if o.wrong] == []
    codes = collections.Counter(o.code for o in outcomes)
    assert codes[2] > CASES / 4, "hardly anything was damaged"
    assert codes[0] > CASES / 20, "hardly anything was accepted"
