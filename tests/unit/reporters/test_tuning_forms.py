"""The record of a tuning, as a page."""

from __future__ import annotations

import dataclasses

import pytest

from qdebug.reporters.html import html
from qdebug.reporters.html.tuning import curve_figures
from qdebug.reporters.tuning import CURE_HEADINGS, cure_facts, cure_row, methods_shown
from qdebug.run.model import Run
from qdebug.run.tuning import Tuning
from tests.support import HOSTILE_NAMES, synthetic_run
from tests.support.page import Page
from tests.support.synthetic_extras import with_tuning


def tuning_of(run: Run) -> Tuning:
    assert run.tuning is not None
    return run.tuning


@pytest.fixture(scope="module")
def run() -> Run:
    return with_tuning(synthetic_run(20, samples=2))


def test_cures_with_what_was_predicted_and_measured(run: Run) -> None:
    rows = [cure_row(cure) for cure in tuning_of(run).cures]
    assert all(len(row) == len(CURE_HEADINGS) + 1 for row in rows)
    assert rows[0][1:3] == ["+12.0", "+13.5"]
    assert rows[1][1] == ""
    assert "refused: worse held out" in rows[1][5]
    assert "the prediction failed" in rows[2][5]
    assert "refused: worse held out" in cure_facts(tuning_of(run).cures[1], "f1")
    assert [m.method for m in methods_shown(tuning_of(run))] == ["KL", "MAX"]


def test_the_page_shows_all_of_it_before_the_findings(run: Run) -> None:
    source = html.render(run)
    text = Page.parse(source).text
    for words in ("16 bits for what is broken", "worse held out", "KL (chosen)", "tuned.onnx"):
        assert words in text
        assert text.index(words) < text.index("Effect on the task")
    assert "Error by units at more bits" in source
    assert "Error by share of the MACs at more bits" in source


def test_curves_need_two_points_and_costs_that_differ(run: Run) -> None:
    tuning = tuning_of(run)
    assert len(curve_figures(tuning)) == 2
    assert curve_figures(dataclasses.replace(tuning, curve=tuning.curve[:1])) == []
    free = tuple(dataclasses.replace(point, macs=0.0) for point in tuning.curve)
    assert len(curve_figures(dataclasses.replace(tuning, curve=free))) == 1
    assert curve_figures(tuning)[0].count("taller is worse") == 1


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_of_units(run: Run, name: str) -> None:
    source = html.render(with_tuning(run, unit=name))
    page = Page.parse(source)
    assert not page.unbalanced
    assert "<img src=x" not in source
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
