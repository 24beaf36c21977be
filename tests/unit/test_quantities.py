"""Sizes and choices as text."""

from __future__ import annotations

import pytest

from qdebug.quantities import format_exact_size, format_size, parse_keep_tensors, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1GiB", 1 << 30),
        ("512MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("2GB", 2_000_000_000),
        ("2g", 2_000_000_000),
        (" 64 kib ", 65536),
        ("1000000", 1_000_000),
        ("1b", 1),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "1XB", "-1GiB", "1ib", "1e9", "0", "0.1", "1 2", "inf"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (312 * 1024, "312 KiB"),
        (1 << 20, "1.0 MiB"),
        (1023 << 20, "1.0 GiB"),
        (50 << 40, "50 TiB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1 << 30, "1GiB"), (3 << 20, "3MiB"), (1536 << 20, "1536MiB"), (1000, "1000"), (1025, "1025")],
)
def test_sizes_that_are_read_back_exactly(count: int, text: str) -> None:
    assert format_exact_size(count) == text
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["none", "all", "worst:1", "worst:200"])
def test_tensors_to_keep(text: str) -> None:
    assert parse_keep_tensors(text) == text


@pytest.mark.parametrize("text", ["", "worst", "worst:0", "worst:-3", "worst:x", "ALL", "some"])
def test_other_choices_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="worst:N"):
        parse_keep_tensors(text)
