"""Weights and biases that are not the float model's."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.numerics import saturating_share
from qdebug.checks.weight_values import row_cosines
from qdebug.metrics.sqnr import rows_db
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


def test_a_clipped_bias_tells_what_is_lost() -> None:
    found = finding(planted_run("12 near-zero weights")[1], "bias-clipped")
    assert "channel 0 wants" in found.seen
    assert "in 1 of " in found.title
    assert finding(planted_run("12 near-zero weights")[1], "weight-mismatch").status == "pass"


def test_a_channel_without_weights_is_a_remark() -> None:
    found = finding(planted_run("12 all-zero channel")[1], "dead-channel")
    assert found.status == "info"
    ((_, channels, count),) = table_of(found, "Channels without weights")
    assert (channels, count) == ("0", 1)


def test_another_training_run_silences_the_checks_of_single_weights() -> None:
    run = sample_run("classifier-wrong-model")
    assert finding(run, "wrong-model").status == "fail"
    assert finding(run, "weight-mismatch").status == "not_applicable"
    assert finding(run, "bias-clipped").status == "not_applicable"


def test_numbers_of_rows() -> None:
    f = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    q = np.array([[3.0, 4.5], [1.0, 0.0], [0.0, 1.0]])
    assert rows_db(f, q)[:2] == pytest.approx([20.0, np.inf])
    assert rows_db(f, q)[2] == -np.inf
    assert row_cosines(f, q)[1] == 1
    assert np.isnan(row_cosines(f, q)[2])


def test_saturation_needs_a_graph_with_int8_weights() -> None:
    class Codes:
        def constant(self, _: str) -> np.ndarray:
            return np.array([[127, 127, 1, 1], [-128, -1, 64, 64]], np.int8)

    # 255 * 254 is beyond 32767; so is 255 * -129 below -32768; 255 * 128 = 32640 is not.
    assert saturating_share(Codes(), "w") == 0.5  # type: ignore[arg-type]
