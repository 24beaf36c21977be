"""Channels that set the range of all others."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.outlier_channel import find_outliers
from tests.support.checked import finding, layer_names, sample_run
from tests.support.contexts import check_context, measured, step_of

EARLY = "/features/features.1/dw/conv/Conv"


def channels(*peaks: float) -> np.ndarray:
    """Values of some channels, evenly spread up to each one's peak."""
    return np.array(peaks)[None, :, None] * np.linspace(-1, 1, 101)


@pytest.mark.parametrize(
    ("peaks", "step", "found"),
    [
        pytest.param([1, 1, 80, 1], 0.6, (2,), id="one of four"),
        pytest.param([1, 1, 7.9, 1], 0.6, None, id="not large enough"),
        pytest.param([1, 1, 80, 1], 0.1, None, id="a step fine enough for the others"),
        pytest.param([1, 80, 80, 1, 1], 0.6, None, id="two of five are no exception"),
        pytest.param([1, 80, 1], 0.6, None, id="three channels are too few to tell"),
        pytest.param([0, 80, 0, 0], 0.6, None, id="the others hold nothing"),
    ],
)
def test_what_an_outlier_is(peaks: list[float], step: float, found: tuple[int, ...] | None) -> None:
    values = channels(*peaks)
    outliers = find_outliers(
        check_context([measured("a", values, values, quantizer=step_of(step))])
    )
    assert [outlier.channels for outlier in outliers] == ([] if found is None else [found])


def test_the_most_harmed_first() -> None:
    values = channels(1, 1, 80, 1)
    layers = [measured(str(s), values, values, quantizer=step_of(s)) for s in (0.6, 1.2, 0.9)]
    assert [outlier.at for outlier in find_outliers(check_context(layers))] == [1, 2, 0]


def test_the_outlier_channel_is_named_and_explains_the_wide_range() -> None:
    run = sample_run("classifier-outlier-channel")
    found = finding(run, "outlier-channel")
    assert (found.status, layer_names(run, found)) == ("fail", [EARLY])
    assert found.title.startswith(f"{EARLY}: channel ")
    wide = finding(run, "range-too-wide")
    assert wide.status == "info"
    assert "QD403 outlier-channel" in wide.seen
    bars = next(e.data for e in found.evidence if e.kind == "bars")
    assert bars["values"][0] > 8 * bars["values"][1]


def test_without_it() -> None:
    assert finding(sample_run("classifier-int8"), "outlier-channel").status == "pass"
