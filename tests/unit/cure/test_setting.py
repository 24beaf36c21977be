"""Settings of a quantizer, and what a target can express."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdebug.cure.setting import FREE, Scheme, given, scheme_of
from qdebug.graph.pairs import Quantizer


def quantizer(dtype: str, scale: float, zero: int) -> Quantizer:
    low = 0 if dtype.startswith("u") else -(2 ** (int(dtype[3:]) - 1))
    high = low + 2 ** int(dtype.lstrip("uint")) - 1
    return Quantizer(
        dtype, np.asarray(scale, np.float32), np.asarray(zero, np.int64), None, low, high
    )


@pytest.mark.parametrize(
    ("dtype", "zero", "low", "high"),
    [("uint8", 10, -1.0, 24.5), ("int8", -118, -1.0, 24.5), ("uint16", 10, -1.0, 6552.5)],
)
def test_given_does_not_depend_on_the_sign_of_the_codes(
    dtype: str, zero: int, low: float, high: float
) -> None:
    found = given(quantizer(dtype, 0.1, zero))
    assert found.zero == 10
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("ends", [(-1.0, 3.0), (0.0, 6.0), (-5.0, 0.0), (2.0, 3.0), (0.0, 0.0)])
def test_a_range_is_held_and_zero_is_a_code(ends: tuple[float, float], bits: int) -> None:
    found = Scheme().over(*ends, bits)
    assert found.levels == 2**bits - 1
    assert 0 <= found.zero <= found.levels
    assert found.low <= min(ends[0], 0) + found.scale
    assert found.high >= max(ends[1], 0) - found.scale


def test_symmetric_targets_get_the_middle_code() -> None:
    found = Scheme(symmetric=True).over(-1.0, 4.0, 8)
    assert found.zero == 128
    assert found.high == pytest.approx(4.0)
    assert found.low < -4.0


def test_powers_of_two_never_cut_the_range() -> None:
    for symmetric in (False, True):
        found = Scheme(symmetric, power_of_two=True).over(-0.9, 5.0, 8)
        assert math.log2(found.scale).is_integer()
        assert found.high >= 4.99


def test_free_has_room_beyond_what_was_seen() -> None:
    found = Scheme().over(-1.0, 1.0, FREE)
    assert found.bits == FREE
    assert found.high > 1.9


def test_the_scheme_of_a_target_is_read_off_its_quantizers() -> None:
    assert scheme_of([quantizer("int8", 0.1, 0), quantizer("int8", 0.3, 0)]) == Scheme(True, False)
    assert scheme_of([quantizer("int8", 0.25, 0)]) == Scheme(True, True)
    assert scheme_of([quantizer("uint8", 0.25, 3), quantizer("uint8", 0.1, 0)]) == Scheme()
    assert scheme_of([]) == Scheme()
