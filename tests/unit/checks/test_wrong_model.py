"""Weights of another training run."""

from __future__ import annotations

from tests.support.checked import finding, sample_run


def test_another_training_run_silences_the_checks_of_single_weights() -> None:
    run = sample_run("classifier-wrong-model")
    assert finding(run, "wrong-model").status == "fail"
    assert finding(run, "weight-mismatch").status == "not_applicable"
    assert finding(run, "bias-clipped").status == "not_applicable"
