"""The data: other ranges, other widths, and what makes two encodings the same."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.encodings import Encoding


@pytest.mark.parametrize("bits", [8, 16])
def test_another_range_keeps_sign_and_symmetry(bits: int) -> None:
    symmetric = Encoding.linear("int8", 0.1).over(-3.0, 2.0, bits)
    assert symmetric == Encoding.linear(f"int{bits}", 3.0 / (2 ** (bits - 1) - 1))
    unsigned = Encoding.linear("uint8", 0.1).over(0.0, 2.0, bits)
    assert unsigned == Encoding.linear(f"uint{bits}", 2.0 / (2**bits - 1))
    moved = Encoding.linear("uint8", 0.1, 7).over(-1.0, 3.0, bits)
    low, high = moved.quantizer().real_range
    step = float(np.max(moved.scale if moved.scale is not None else 0))
    assert low == pytest.approx(-1.0, abs=step)
    assert high == pytest.approx(3.0, abs=step)
    assert moved.dtype == f"uint{bits}"


def test_a_range_of_nothing_has_a_scale() -> None:
    assert Encoding.linear("int8", 0.1).over(0.0, 0.0) == Encoding.linear("int8", 1.0)
    assert Encoding.linear("uint8", 0.1, 3).over(0.0, 0.0) == Encoding.linear("uint8", 1.0)


def test_encodings_are_the_same_where_every_number_is() -> None:
    one = Encoding.linear("int8", [0.1, 0.2], 0, 1)
    assert one == Encoding.linear("int8", [0.1, 0.2], [0, 0], 1)
    assert one != Encoding.linear("int8", [0.1, 0.3], 0, 1)
    assert one != Encoding.linear("int8", [0.1, 0.2], 0, 0)
    assert one != Encoding.linear("int8", 0.1)
    assert Encoding("float16") != Encoding("float32")
    assert one != "int8"
    assert Encoding.of(one.quantizer()) == one
