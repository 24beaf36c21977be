"""Text on screen: nothing hidden, nothing interpreted, exactly as wide as asked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qdebug.tui.glyphs import ASCII, UNICODE, needs_ascii
from qdebug.tui.text import cut_end, cut_middle, fit, visible, wrap
from qdebug.vocabulary.numbers import decibel
from tests.support.hostile import HOSTILE_NAMES


@given(st.text(max_size=60), st.integers(0, 40), st.booleans(), st.booleans())
def test_a_cell_is_as_wide_as_asked(text: str, width: int, right: bool, prose: bool) -> None:
    for glyphs in (UNICODE, ASCII):
        assert cell_len(fit(text, width, glyphs, right=right, prose=prose)) == width


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_control_character_reaches_the_terminal(name: str) -> None:
    shown = visible(name)
    assert all(ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0 for c in shown)
    assert "\u202e" not in shown
    assert "\u200b" not in shown
    assert visible(name, True).isascii()


def test_brackets_and_wide_characters_stay() -> None:
    assert visible("w[bold]x a[/b]c 名前") == "w[bold]x a[/b]c 名前"
    assert visible("two\nlines\x1b[31m") == r"two\nlines\x1b[31m"


def test_names_lose_their_middle_and_prose_its_end() -> None:
    assert cut_middle("/model.0/first/last/Conv_12", 16, UNICODE) == "/model…t/Conv_12"
    assert cut_end("one sentence that is long", 12, UNICODE) == "one sentenc…"
    assert cut_middle("short", 16, UNICODE) == "short"


@given(st.text(max_size=200), st.integers(8, 60))
def test_wrapped_prose_fits_and_loses_no_word(text: str, width: int) -> None:
    lines = wrap(text, width, UNICODE)
    assert all(line.cell_len <= width for line in lines)
    joined = "".join(line.plain for line in lines)
    words = "".join(visible(part) for part in text.split("\n"))
    assert "".join(joined.split()) == "".join(words.split())


def test_numbers_keep_to_the_terminal_s_characters() -> None:
    shown = [decibel(value) for value in (math.inf, -math.inf, math.nan, None)]
    assert [UNICODE.text(text) for text in shown] == ["∞", "-∞", "NaN", "—"]
    assert [ASCII.text(text) for text in shown] == ["inf", "-inf", "NaN", "-"]
    assert fit(shown[1], 6, ASCII, right=True) == "  -inf"


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", False),
        ({}, "UTF8", False),
        ({}, "ascii", True),
        ({}, "cp1252", True),
        ({}, None, True),
        ({"TERM": "vt100"}, "utf-8", True),
        ({"QDEBUG_ASCII": "1"}, "utf-8", True),
        ({"QDEBUG_ASCII": "0"}, "ascii", False),
    ],
)
def test_ascii_is_used_where_the_terminal_needs_it(
    environment: dict[str, str], encoding: str | None, expected: bool
) -> None:
    assert needs_ascii(environment, encoding) is expected
