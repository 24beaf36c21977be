"""Operators in pieces, and constants that stretch ranges."""

from __future__ import annotations

import pytest

from tests.support.checked import finding, sample_run, table_of


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
