"""Noise in place of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.check import run_check
from qdebug.checks.random_input import RANDOM_INPUT, neighbour_correlation
from qdebug.run.model import Finding, SampleInfo
from tests.support.checked import finding, sample_run
from tests.support.contexts import FixedGains, check_context
from tests.support.graphs import SIDE

NOISE = np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)
RAMP = np.broadcast_to(np.linspace(0, 1, SIDE, dtype=np.float32), (1, 3, SIDE, SIDE)).copy()


def judged(*images: np.ndarray) -> Finding:
    """The finding for samples of one input."""
    feeds = [({"images": image}, {"images": image}) for image in images]
    samples = [SampleInfo(f"{number}.jpg", "") for number in range(len(images))]
    what_if = FixedGains(feeds=feeds).as_what_if()
    (found,) = run_check(RANDOM_INPUT, check_context(samples=samples, what_if=what_if))
    return found


@pytest.mark.parametrize(
    ("images", "status"),
    [([RAMP], "pass"), ([NOISE], "warn"), ([RAMP, NOISE], "warn"), ([NOISE[0]], "pass")],
)
def test_noise_is_told_from_a_picture(images: list[np.ndarray], status: str) -> None:
    assert judged(*images).status == status


def test_the_sample_and_its_input_are_named() -> None:
    assert "values of images in 1.jpg do not correlate" in judged(RAMP, NOISE).seen


def test_a_photo() -> None:
    assert finding(sample_run("classifier-int8"), "random-input").status == "pass"


@pytest.mark.parametrize(
    ("image", "low", "high"), [(NOISE, 0.0, 0.1), (RAMP, 0.99, 1.0), (RAMP * 0, 1.0, 1.0)]
)
def test_correlation_of_neighbours(image: np.ndarray, low: float, high: float) -> None:
    assert low <= neighbour_correlation(image) <= high + 1e-12
