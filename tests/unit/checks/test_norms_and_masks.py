"""Operators in pieces, and constants that stretch ranges."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.checked import (
    finding,
    layer_names,
    net_run,
    planted_run,
    sample_run,
    table_of,
)
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.subjects import random_quantizer
from tests.support.planting.ranges import last_range_cut


def test_decomposed_norms_are_one_finding() -> None:
    run = sample_run("transformer-norms")
    found = finding(run, "decomposed-norm")
    assert found.status == "fail"
    assert sum(f.slug == "decomposed-norm" for f in run.findings) == 1
    kinds = {row[0] for row in table_of(found, "Operators in pieces")}
    assert {"LayerNorm", "GELU"} <= kinds
    assert len([r for r in table_of(found, "Operators in pieces") if r[0] == "LayerNorm"]) == 9
    assert finding(run, "huge-constant").status in ("pass", "info")


def test_the_mask_constant() -> None:
    run = sample_run("transformer-mask")
    found = finding(run, "huge-constant")
    assert found.status == "fail"
    assert "-1e+12" in found.title or "1e+12" in found.title
    assert {run.layers[at].op for at in found.layers} >= {"Add", "Softmax"}
    assert finding(run, "decomposed-norm").status in ("pass", "info")


@pytest.mark.parametrize("slug", ["decomposed-norm", "huge-constant"])
def test_both_hide_each_other_s_gain_and_are_named_all_the_same(slug: str) -> None:
    found = finding(sample_run("transformer-all"), slug)
    assert found.status == "fail"
    assert found.gain_db is not None
    assert found.gain_db > 20


@pytest.mark.parametrize("name", ["transformer-int8", "classifier-int8"])
def test_where_they_stay_in_float_or_are_absent(name: str) -> None:
    run = sample_run(name)
    assert finding(run, "decomposed-norm").status == "pass"
    assert finding(run, "huge-constant").status == "pass"


def test_a_planted_norm_is_one_group_from_the_mean_to_the_shift() -> None:
    _, run = planted_run("14 norm in pieces")
    (row,) = table_of(finding(run, "decomposed-norm"), "Operators in pieces")
    assert row == ["LayerNorm", "planted/norm/mean", "planted/norm/out", 9]


def test_pieces_in_steps_fine_enough_are_a_remark() -> None:
    _, run = planted_run("14 norm in 16 bits")
    assert finding(run, "decomposed-norm").status == "info"


def test_the_most_negative_float_as_a_mask_is_told_with_the_step_that_follows() -> None:
    _, run = planted_run("14 mask of -FLT_MAX")
    found = finding(run, "huge-constant")
    assert "reaches 3.4e+38" in found.seen
    assert "the step of 1.33e+36" in found.seen
    assert layer_names(run, found) == ["planted/attention/masked", "planted/attention/weights"]


def test_a_mask_that_fits_beside_the_logits_is_not_told_to_reach_further() -> None:
    """The float model's -1e12 stands for infinity: the quantizer's range has not to hold it."""
    _, run = planted_run("14 mask of -30")
    assert finding(run, "huge-constant").status == "pass"
    assert finding(run, "activation-clipping").status == "pass"


def test_a_piece_with_a_range_cut_off_is_named_and_not_the_pieces() -> None:
    b = NetBuilder(7)
    x = b.conv(b.input("image", [1, 3, 24, 24]), 3, 8)
    float_model = b.model(b.conv(b.gelu(x), 8, 8))
    feeds = tuple(sample_inputs(float_model, 4, 7))
    sound = random_quantizer(np.random.default_rng(0), feeds)(float_model)
    cut = last_range_cut(float_model, sound, 0.15)
    runs = [net_run(float_model, twin, *feeds[:2]) for twin in (sound, cut)]
    assert [finding(run, "activation-clipping").status for run in runs] == ["pass", "fail"]
    assert {finding(run, "decomposed-norm").status for run in runs} == {"info"}
