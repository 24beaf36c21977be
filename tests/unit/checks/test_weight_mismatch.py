"""Weights and biases that are not the float model's."""

from __future__ import annotations

import pytest

from tests.support.checked import finding, planted_run, sample_run, table_of

SLUGS = ("weight-mismatch", "bias-clipped", "wrong-model")


@pytest.mark.parametrize("name", ["classifier-int8", "detector-dynamic", "detector-qoperator"])
def test_sound_weights_pass(name: str) -> None:
    run = sample_run(name)
    assert [finding(run, slug).status for slug in SLUGS] == ["pass"] * 3
    assert sum(f.slug == "weight-mismatch" for f in run.findings) == 1


@pytest.mark.parametrize(
    ("fault", "role", "detail"),
    [
        ("18 bias zeroed", "bias", "zero"),
        ("18 weight rolled", "weight", "rolled by 1 output channel"),
    ],
)
def test_all_channels(fault: str, role: str, detail: str) -> None:
    found = finding(planted_run(fault)[1], "weight-mismatch")
    ((layer, of, _, told, worst),) = table_of(found, "What differs")
    assert (of, told) == (role, detail)
    assert layer in found.title
    assert worst < 10


def test_a_rescaled_channel_is_named_with_its_factor() -> None:
    found = finding(sample_run("classifier-channel-scale"), "weight-mismatch")
    ((layer, _, channels, told, _),) = table_of(found, "What differs")
    assert layer == "/features/features.4/project/conv/Conv"
    assert channels == "5"
    factor = float(told.removeprefix("rescaled by "))
    assert factor == pytest.approx(4, rel=0.02)
    assert "channel 5 of" in found.seen
