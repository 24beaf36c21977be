"""Numbers as text: never better than they are, and on their side of a limit."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import qdebug
from qdebug.vocabulary.numbers import cosine, decibel, narrow, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (0.99996, "0.99996"), (0.9999996, "0.9999996"), (0.999999996, "0.999999996"),
        (0.9999999999, "1"), (0.98996, "0.9899"), (0.99, "0.9900"), (0.5, "0.5000"),
        (0.0, "0.0000"), (-0.00001, "-0.0001"), (-1.0, "-1.0000"), (math.nan, "NaN"), (None, "—"),
    ],
)  # fmt: skip
def test_a_cosine_is_cut_and_only_1_is_1(value: float | None, text: str) -> None:
    assert cosine(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20.04, "20.0"), (-0.04, "0.0"), (-0.06, "-0.1"), (math.inf, "∞"), (-math.inf, "-∞"),
        (math.nan, "NaN"), (None, "—"),
    ],
)  # fmt: skip
def test_a_level_has_one_decimal(value: float | None, text: str) -> None:
    assert decibel(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"), (0.00001, "<0.01 %"), (0.0042, "0.42 %"), (0.042, "4.2 %"), (0.5, "50 %"),
        (0.997, "99.7 %"), (0.99996, ">99.99 %"), (1.0, "100 %"), (2.5, "250 %"), (None, "—"),
    ],
)  # fmt: skip
def test_only_nothing_is_0_and_only_all_is_100_per_cent(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (12345.6, "12350"), (999949.0, "999900"), (1e6, "1e+06"), (1.5e-7, "1.5e-07"),
        (0.00012345, "0.0001234"), (-3.0, "-3"), (12345678, "12345678"), (True, "True"),
        ("a\nb", "a\\nb"), (math.inf, "∞"), (None, "—"),
    ],
)  # fmt: skip
def test_other_numbers_have_four_digits_and_few_exponents(
    value: float | int | str | None, text: str
) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("write", "value", "limit", "text"),
    [
        (decibel, 19.97, 20.0, "19.97"), (decibel, 20.0, 20.0, "20.0"), (decibel, 5.7, 20.0, "5.7"),
        (decibel, 20.0004, 20.0, "20.0004"), (cosine, 0.98996, 0.99, "0.9899"),
        (cosine, 0.99001, 0.99, "0.99001"), (number, 0.300001, 0.3, "0.300001"),
        (decibel, math.nan, 20.0, "NaN"), (decibel, None, 20.0, "—"),
    ],
)  # fmt: skip
def test_beside_a_limit_the_text_is_on_the_value_s_side(
    write: Any, value: float | None, limit: float, text: str
) -> None:
    assert write(value, limit) == text


@given(st.floats(-1, 1))
def test_no_cosine_looks_better_than_it_is(value: float) -> None:
    assert float(cosine(value)) <= value + 5e-10
    assert len(narrow(cosine(value), 8)) <= 8


@given(st.floats(0, 1))
@example(1e-4)
@example(0.9999)
def test_a_share_is_where_it_says(value: float) -> None:
    text = percent(value).removesuffix(" %")
    if text[0] in "<>":
        assert value < 1e-4 if text[0] == "<" else value > 1 - 1e-4
    else:
        assert float(text) / 100 == pytest.approx(value, abs=5.1e-4)


def test_a_narrow_place_only_drops_digits() -> None:
    assert narrow("0.99996", 8) == "0.99996"
    assert narrow("0.9999996", 8) == ".9999996"
    assert narrow("0.999999996", 8) == ".9999999"
    assert narrow("-0.12345678", 8) == "-.123456"
    assert narrow("1.234e-07", 5) == "1.234e-07"
    assert narrow("∞", 1) == "∞"


def test_no_text_writes_per_cent_with_significant_digits() -> None:
    """Such a format makes ``1e+02 %`` of 99.7 %."""
    package = Path(qdebug.__file__).parent
    wrong = [
        f"{file.name}: {line.strip()}"
        for file in package.rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r"\.\d+g\} ?%", line)
    ]
    assert wrong == []
