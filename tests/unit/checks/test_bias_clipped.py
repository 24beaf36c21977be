"""Biases at the limit of int32."""

from __future__ import annotations

from tests.support.checked import finding, planted_run


def test_a_clipped_bias_tells_what_is_lost() -> None:
    found = finding(planted_run("12 near-zero weights")[1], "bias-clipped")
    assert "channel 0 wants" in found.seen
    assert "in 1 of " in found.title
    assert finding(planted_run("12 near-zero weights")[1], "weight-mismatch").status == "pass"
