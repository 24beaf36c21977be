"""Each metric in closed form, its special cases and its direction."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.capture.state import error_metrics
from qdebug.metrics.metric import LEAD, METRICS
from qdebug.metrics.moments import measure
from qdebug.run.model import ErrorMetrics

Array = npt.NDArray[Any]


def test_every_field_is_described() -> None:
    words = [word for m in METRICS.values() for word in (m.word, *m.aliases)]
    assert len(set(words)) == len(words)
    assert all(len(metric.short) <= 13 for metric in METRICS.values())
    assert list(METRICS) == [field.name for field in dataclasses.fields(ErrorMetrics)]
    assert LEAD[0].name == "sqnr_db"


def test_a_field_added_after_the_first_schema_may_be_missing() -> None:
    first = {"bias", "centered_cosine", "cosine", "gain", "max_abs", "mse", "rel_l2", "sqnr_db"}
    later = [f for f in dataclasses.fields(ErrorMetrics) if f.name not in first]
    assert all(field.default is None for field in later)


def metrics(f: Any, q: Any) -> ErrorMetrics:
    return error_metrics(measure(np.asarray(f, np.float32), np.asarray(q, np.float32)))


def test_closed_forms() -> None:
    found = metrics([3.0, 4.0], [3.0, 5.0])
    assert found.cosine == pytest.approx(29 / (5 * math.sqrt(34)))
    assert found.sqnr_db == pytest.approx(10 * math.log10(25))
    assert found.mse == pytest.approx(0.5)
    assert found.rel_l2 == pytest.approx(0.2)
    assert found.max_abs == 1
    assert found.bias == pytest.approx(0.5)
    assert found.gain == pytest.approx(29 / 25)


def test_centred_cosine_is_pearsons_r() -> None:
    rng = np.random.default_rng(0)
    f = rng.standard_normal(1000) + 50
    q = rng.standard_normal(1000) + 50
    found = metrics(f, q)
    assert found.cosine > 0.999  # the offset alone makes them look alike
    r = np.corrcoef(f.astype(np.float32), q.astype(np.float32))[0, 1]
    assert found.centered_cosine == pytest.approx(r, abs=1e-5)


def test_identical_is_perfect() -> None:
    found = metrics([1.0, -2.0], [1.0, -2.0])
    assert (found.cosine, found.sqnr_db, found.rel_l2, found.gain) == (1, math.inf, 0, 1)


def test_both_zero_is_perfect() -> None:
    found = metrics([0.0, 0.0], [0.0, 0.0])
    assert (found.cosine, found.centered_cosine, found.sqnr_db) == (1, 1, math.inf)
    assert (found.rel_l2, found.gain) == (0, 1)


def test_zero_where_the_reference_is_not() -> None:
    found = metrics([1.0, 2.0], [0.0, 0.0])
    assert (found.cosine, found.sqnr_db, found.gain) == (0, 0, 0)


def test_zero_reference_only() -> None:
    found = metrics([0.0, 0.0], [1.0, 2.0])
    assert (found.cosine, found.sqnr_db, found.rel_l2) == (0, -math.inf, math.inf)


def test_gain_of_two_has_cosine_one() -> None:
    found = metrics([1.0, 2.0, -3.0], [2.0, 4.0, -6.0])
    assert found.cosine == pytest.approx(1)
    assert found.sqnr_db == pytest.approx(0)
    assert found.gain == pytest.approx(2)


def test_a_constant_offset_is_a_bias_and_not_a_shape_error() -> None:
    f = np.linspace(-1, 1, 100)
    found = metrics(f, f + 0.25)
    assert found.bias == pytest.approx(0.25, abs=1e-6)
    assert found.centered_cosine == pytest.approx(1)


def test_nan_makes_every_number_nan() -> None:
    found = metrics([1.0, math.nan], [1.0, 1.0])
    assert all(math.isnan(value) for value in vars(found).values())


def test_sqnr_and_relative_l2_say_the_same() -> None:
    found = metrics([1.0, 5.0, -2.0], [1.1, 4.9, -2.2])
    assert found.sqnr_db == pytest.approx(-20 * math.log10(found.rel_l2))


@pytest.mark.parametrize("name", [n for n in METRICS if n not in ("bias", "gain")])
def test_more_noise_is_worse(name: str) -> None:
    rng = np.random.default_rng(1)
    f, noise = rng.standard_normal(500), rng.standard_normal(500)
    values = [getattr(metrics(f, f + level * noise), name) for level in (0.01, 0.1, 1.0)]
    badness = [METRICS[name].badness(value) for value in values]
    assert badness == sorted(badness)
    assert len(set(badness)) == 3


def test_nan_is_worse_than_anything() -> None:
    for metric in METRICS.values():
        assert metric.badness(math.nan) > metric.badness(-1e30)


@pytest.mark.parametrize(("name", "good", "bad"), [("bias", 0.01, -0.5), ("gain", 1.01, 0.5)])
def test_signed_metrics_are_judged_by_their_distance(name: str, good: float, bad: float) -> None:
    assert METRICS[name].badness(bad) > METRICS[name].badness(good)
