"""The board as the third column, in every form; with names that break careless code."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import typing

import pytest

from qdebug.plugins import load_plugin
from qdebug.reporters.board import board_facts
from qdebug.reporters.console.layers import section
from qdebug.reporters.console.look import Look
from qdebug.reporters.html import html
from qdebug.reporters.markdown import markdown
from qdebug.run.board_results import BoardState
from qdebug.run.filter import LayerIndex, parse_filter
from qdebug.run.model import Run
from qdebug.run.outcome import outcome_of
from qdebug.run.redact import redact
from qdebug.run.store import run_from_json, run_to_json
from qdebug.vocabulary.states import BOARD_WORDS
from tests.support import HOSTILE_NAMES, synthetic_run
from tests.support.page import Page
from tests.support.synthetic_extras import BOARD_DB, with_board

TEXTS = ("json", "csv", "markdown", "junit", "sarif", "model_explorer", "notebook")


@pytest.fixture(scope="module")
def run() -> Run:
    return with_board(synthetic_run(40, samples=2))


class TestTheNumbers:
    def test_csv(self, run: Run) -> None:
        rows = list(csv.DictReader(io.StringIO(load_plugin("reporters", "csv").render(run))))
        wrong, lacking = rows[5], rows[6]
        assert float(wrong["board_sqnr_db"]) == BOARD_DB
        assert float(wrong["board_own_sqnr_db"]) == BOARD_DB
        assert (wrong["board_state"], wrong["board_layout"]) == ("compared", "NHWC")
        assert float(wrong["board_own_steps"]) == 2.5
        assert lacking["board_state"] == "not_dumped"
        assert lacking["board_sqnr_db"] == lacking["board_own_steps"] == ""

    def test_csv_of_a_run_without_one_has_the_columns_empty(self) -> None:
        text = load_plugin("reporters", "csv").render(synthetic_run(5, samples=1))
        (first, *_) = csv.DictReader(io.StringIO(text))
        assert {value for key, value in first.items() if key.startswith("board")} == {""}

    def test_markdown_and_console(self, run: Run) -> None:
        assert "| board, dB |" in markdown.render(run)
        assert "board, dB" not in markdown.render(synthetic_run(40, samples=2))
        lines = [line.plain for line in section(run, Look(width=120))]
        head = next(line for line in lines if line.startswith("    ") and "accum" in line)
        assert "board" in head
        assert str(BOARD_DB) in next(line for line in lines if "#5 " in line)

    def test_filters(self, run: Run) -> None:
        index = LayerIndex(run.layers, run.findings)
        assert [x.index for x in parse_filter("board<20").select(index)] == [5]
        assert [x.index for x in parse_filter("bown<20").select(index)] == [5]
        lacking = {x.index for x in parse_filter("board:none").select(index)}
        assert {6, 13, 20} <= lacking
        assert 5 not in lacking
        known = {x.index for x in parse_filter("!bfloat:none").select(index)}
        assert known == {x.index for x in run.layers} - lacking


class TestThePage:
    def test_the_outcome_says_that_it_is_the_board(self, run: Run) -> None:
        sentence = outcome_of(run).sentence
        assert sentence.startswith("Board fault; in simulation: ")
        page = Page.parse(html.render(run))
        text = page.text
        assert text.index("Board fault") < text.index("board-layer") < text.index("Input check")

    def test_section_column_card_and_line(self, run: Run) -> None:
        source = html.render(run)
        text = Page.parse(source).text
        assert "snapshot.npz" in text
        assert "39 of 40 tensors mapped" in text
        assert "no-board" not in source[source.index('<table id="layer-table"') :][:80]
        assert "board, own error" in text
        assert "2.5 steps in the mean, 1.25 times the simulation" in text
        assert 'class="s4"' in source

    def test_without_a_board_nothing_of_it_is_seen(self) -> None:
        source = html.render(synthetic_run(40, samples=2))
        assert 'class="no-board"' in source
        assert "board, own error" not in Page.parse(source).text
        assert 'id="board"' not in source

    def test_every_state_has_words(self, run: Run) -> None:
        layer = run.layers[5]
        assert layer.board is not None
        assert set(BOARD_WORDS) == set(typing.get_args(BoardState))
        for state, words in BOARD_WORDS.items():
            board = dataclasses.replace(layer.board, state=state)
            assert board_facts(dataclasses.replace(layer, board=board))[0] == (
                "on the board",
                words,
            )
        assert board_facts(dataclasses.replace(layer, board=None)) == []


def hostile(name: str) -> Run:
    """A board whose dump, tensors and reasons are named so."""
    return with_board(synthetic_run(12, samples=1), name=name, tensor=name + " {}")


@pytest.mark.parametrize("name", [n for n in HOSTILE_NAMES if "{" not in n])
def test_hostile_names_of_a_dump(name: str) -> None:
    run = hostile(name)
    assert run_from_json(run_to_json(run)).board == run.board
    page = Page.parse(html.render(run))
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert len(page.scripts) == len(Page.parse(html.render(hostile("plain"))).scripts)
    assert not page.unbalanced
    for form in TEXTS:
        shown = load_plugin("reporters", form).render(run)
        assert "\x1b" not in shown
        assert "\x07" not in shown


def test_a_dump_s_names_are_redacted_in_every_form() -> None:
    run = with_board(synthetic_run(30, samples=2), name="secret.npz", tensor="secret_{}")
    bare = redact(run, ["names", "paths"])
    for form in TEXTS:
        assert "secret" not in load_plugin("reporters", form).render(bare)
    assert "secret" not in html.render(bare)
    numbers = json.loads(run_to_json(bare))["layers"][5]["board"]["against_quant"]
    assert numbers["sqnr_db"] == BOARD_DB
