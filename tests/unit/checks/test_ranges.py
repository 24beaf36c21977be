"""Ranges that do not fit, and what another would give."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.analysis.calibration import Distribution, predicted_sqnr, thresholds
from tests.support.checked import finding, planted_run, sample_run, table_of
from tests.support.running import direct_sqnr


def test_a_cut_range_is_named_with_the_better_one() -> None:
    planted, run = planted_run("19 range cut")
    found = finding(run, "activation-clipping")
    assert found.status == "fail"
    assert run.layers[found.layers[0]].float_tensor in planted.tensors
    (row, *_) = table_of(found, "Ranges that do not fit")
    now, better = (_ends(text) for text in (row[1], row[3]))
    assert better[1] - better[0] > 2 * (now[1] - now[0])
    assert finding(run, "range-too-wide").status != "fail"


def _ends(text: str) -> tuple[float, float]:
    low, _, high = text.partition("..")
    return float(low), float(high)


def test_a_stretched_range_is_named_with_the_codes_it_wastes() -> None:
    planted, run = planted_run("range stretched")
    found = finding(run, "range-too-wide")
    assert found.status == "warn"
    assert run.layers[found.layers[0]].float_tensor in planted.tensors
    assert "of 256 codes used" in found.title
    methods = [row[0] for row in table_of(found, "What other thresholds")]
    assert methods == ["as it is", "max", "percentile 99.99", "least squared error"]


def test_calibration_on_one_photo() -> None:
    found = finding(sample_run("classifier-one-photo"), "activation-clipping")
    assert found.status == "fail"
    assert "Calibrate again, on more and more varied images" in found.advice
    assert len(found.layers) > 1


@pytest.mark.parametrize("slug", ["activation-clipping", "range-too-wide"])
def test_ranges_of_a_sound_model(slug: str) -> None:
    assert finding(sample_run("classifier-int8"), slug).status in ("pass", "info")


def quantized(values: np.ndarray, low: float, high: float) -> np.ndarray:
    step = (high - low) / 255
    return np.clip(np.rint((values - low) / step), 0, 255) * step + low


@pytest.mark.parametrize(("low", "high"), [(-4.0, 4.0), (-1.0, 1.0), (-30.0, 30.0)])
def test_the_predicted_sqnr_is_what_quantizing_gives(low: float, high: float) -> None:
    values = np.random.default_rng(1).normal(0, 1, 50_000)
    known = Distribution.of([values])
    assert known is not None
    actual = direct_sqnr(values, quantized(values, low, high))
    assert predicted_sqnr(known, low, high, 256) == pytest.approx(actual, abs=0.5)


def test_thresholds_of_a_symmetric_quantizer_are_symmetric() -> None:
    values = Distribution.of([np.abs(np.random.default_rng(2).normal(0, 1, 10_000))])
    assert values is not None
    for choice in thresholds(values, 256, symmetric=True):
        assert choice.low == -choice.high
    assert {choice.low for choice in thresholds(values, 256)} == {0.0}
    best = {c.method: c.sqnr_db for c in thresholds(values, 256)}
    assert best["least squared error"] >= max(best.values()) - 1e-9
