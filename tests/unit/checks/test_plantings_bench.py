"""The bench of random plantings: the same rows for the same seed, sums that count."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.plantings import run_bench, sums, table
from tests.support.planting.families import CONTROLS, FAMILIES
from tests.support.planting.families.subjects import random_subject

SEED = 1


def test_a_planting_follows_from_its_seed() -> None:
    made = [
        FAMILIES["converter"](random_subject(rng), rng)
        for rng in (np.random.default_rng(SEED), np.random.default_rng(SEED))
    ]
    assert made[0].kind == made[1].kind
    assert made[0].quant_model == made[1].quant_model
    assert made[0].truths == made[1].truths
    assert made[0].quant_model != made[0].sound_model


@pytest.mark.parametrize("kind", ["fault", "control"])
def test_rows_and_sums(kind: str) -> None:
    families = {"converter": FAMILIES["converter"]} if kind == "fault" else {}
    controls = {} if kind == "fault" else {"rewrite": CONTROLS["rewrite"]}
    (row,) = run_bench([SEED], families, controls)
    lines = list(table([row]))
    assert lines[2].startswith(f"| {SEED} | {row.family} | {row.planting.kind} |")
    assert list(sums([row])) == lines[4:]
    assert not row.wrong
    if kind == "fault":
        assert row.is_costly
        assert row.is_hit
        assert "1 named, 1 placed, 1 first (100 %)" in lines[-1]
    else:
        assert row.planting.truths == ()
        assert lines[-1] == f"{row.family}: 1 planted, 0 with a wrong cause at fail"
