"""One bias of several layers under one scale."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from qdebug.checks.facts.biases import _error_db
from qdebug.graph.pairs import WeightPair
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


@pytest.mark.parametrize(
    ("factors", "is_scale"), [((3, 3, 3), True), ((3, 2, 5), True), ((0, 0, 0), False)]
)
def test_a_scale_turns_no_sign_and_makes_nothing_zero(
    factors: tuple[int, ...], is_scale: bool
) -> None:
    value = np.array([1.0, -0.7, 0.4], np.float32)
    for sign in (1, -1) if is_scale else (1,):
        quant = value * np.array(factors, np.float32) * sign
        read = partial(np.asarray, value), partial(np.asarray, quant)
        pair = WeightPair("f", "q", 0, "bias", *read, None, 0)
        assert (_error_db(pair) is not None) == (is_scale and sign > 0)
