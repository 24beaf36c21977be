"""How far a run can be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.quality import neighbour_correlation
from tests.support.checked import finding, net_run, sample_run
from tests.support.graphs import SIDE, float_model, qdq_model

NOISE = np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)
RAMP = np.broadcast_to(np.linspace(0, 1, SIDE, dtype=np.float32), (1, 3, SIDE, SIDE)).copy()


def test_noise_is_told_from_a_picture() -> None:
    noisy = net_run(float_model(), qdq_model(), {"images": NOISE})
    assert finding(noisy, "random-input").status == "warn"
    smooth = net_run(float_model(), qdq_model(), {"images": RAMP})
    assert finding(smooth, "random-input").status == "pass"
    assert finding(sample_run("classifier-int8"), "random-input").status == "pass"


@pytest.mark.parametrize(
    ("image", "low", "high"), [(NOISE, 0.0, 0.1), (RAMP, 0.99, 1.0), (RAMP * 0, 1.0, 1.0)]
)
def test_correlation_of_neighbours(image: np.ndarray, low: float, high: float) -> None:
    assert low <= neighbour_correlation(image) <= high + 1e-12


def test_an_empty_picture_is_explained_and_no_divergence() -> None:
    run = sample_run("detector-int8-empty")
    assert run.verdict.status == "pass"
    assert finding(run, "task-effect").status in ("info", "pass")


def test_few_samples_are_told() -> None:
    found = finding(sample_run("classifier-int8"), "few-samples")
    assert found.status == "info"
    assert found.title == "4 samples only"


def test_pairs_of_a_sound_model() -> None:
    assert finding(sample_run("classifier-int8"), "unpaired-layers").status == "pass"
    assert finding(sample_run("detector-qoperator"), "unpaired-layers").status == "pass"


def test_a_foreign_graph_has_no_counterparts() -> None:
    silent = {"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}
    run = net_run(float_model(), qdq_model(), silent)
    assert not [f for f in run.findings if f.status == "error"]
