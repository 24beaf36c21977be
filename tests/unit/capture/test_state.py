"""States, worst channels, and the split of the local error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdebug.capture.state import classify, local_error, worst_channels
from qdebug.metrics.moments import measure


def state(f: Any, q: Any, step: float | None = None) -> str:
    return classify(measure(np.asarray(f, np.float32), np.asarray(q, np.float32)), step)[0]


@pytest.mark.parametrize(
    ("f", "q", "step", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.1], None, "ok"),
        ([1.0, 2.0], [1.0, 2.0], None, "identical"),
        ([0.0, 0.0], [0.0, 0.0], None, "zero_both"),
        ([1.0, 2.0], [0.0, 0.0], None, "zero_quant"),
        ([1.0, 2.0], [0.0, 0.0], 0.5, "zero_quant"),
        ([0.0, 0.0], [0.0, 1.0], None, "zero_float"),
        ([0.01, 0.02], [0.0, 0.0], 0.5, "low_signal"),
        ([np.nan, 1.0], [1.0, 1.0], None, "nonfinite"),
        ([1.0, 1.0], [1.0, np.inf], None, "nonfinite"),
    ],
)
def test_states(f: Any, q: Any, step: float | None, expected: str) -> None:
    assert state(f, q, step) == expected


def test_the_reason_says_how_large_what_vanished_was() -> None:
    _, reason = classify(measure(np.array([7.5], np.float32), np.array([0.0], np.float32)))
    assert reason is not None and "7.5" in reason


def test_worst_channels_come_first_and_dead_ones_are_left_out() -> None:
    f = np.ones((1, 4, 10), np.float32)
    q = f.copy()
    q[0, 1] += 0.5
    q[0, 2] += 0.1
    f[0, 3] = q[0, 3] = 0
    dead = np.zeros((1, 2, 5), np.float32)
    found, none = worst_channels([measure(f, q, 1), measure(dead, dead, 1)], 3)
    assert none == ()
    assert [channel.index for channel in found] == [1, 2, 0]
    assert found[0].sqnr_db == pytest.approx(10 * np.log10(1 / 0.25), abs=1e-4)


def test_a_channel_with_nan_is_the_worst() -> None:
    f = np.ones((1, 3, 4), np.float32)
    q = f + np.float32(0.1)
    q[0, 2, 0] = np.nan
    ((found,),) = worst_channels([measure(f, q, 1)], 1)
    assert found.index == 2
    assert worst_channels([], 1) == []


def test_clipping_and_rounding_add_up_to_the_local_mse() -> None:
    f = np.array([0.2, 0.4, 3.0], np.float32)
    q = np.array([0.25, 0.5, 1.0], np.float32)
    found = local_error(measure(f, q), clipped_ee=4.0)
    assert found.clipping_mse == pytest.approx(4 / 3)
    assert found.clipping_mse + found.rounding_mse == pytest.approx(found.mse)
