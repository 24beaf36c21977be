"""One bias of several layers under one scale."""

from __future__ import annotations

import pytest

from qdebug.run.model import Run
from tests.support.checked import causes, finding, net_run, table_of
from tests.support.planting.families import CONTROLS, FAMILIES, Planting
from tests.support.planting.families.subjects import planted_at_random

SEEDS = (2, 3, 4)


def planted(family: str, seed: int) -> tuple[Planting, Run]:
    subject, planting = planted_at_random({**FAMILIES, **CONTROLS}[family], seed)
    return planting, net_run(planting.float_model, planting.quant_model, *subject.feeds)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_consumers_are_counted_and_the_wrong_ones_named(seed: int) -> None:
    planting, run = planted("shared bias", seed)
    found = finding(run, "shared-bias")
    rows = table_of(found, "Layers that share the bias")
    wrong = [row for row in rows if row[2] == "wrong"]
    assert 0 < len(wrong) < len(rows)
    assert found.title.startswith(f"{len(rows)} layers share the bias ")
    assert found.title.endswith(f"wrong in {len(wrong)}")
    named = {run.layers[at].float_tensor for at in found.layers}
    assert named <= set(planting.truths[0].tensors)
    assert "weight-mismatch" not in causes(run, "fail", "warn")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bias_of_its_own_is_sound(seed: int) -> None:
    _, run = planted("own bias", seed)
    assert finding(run, "shared-bias").status == "pass"
    assert finding(run, "weight-mismatch").status == "pass"
