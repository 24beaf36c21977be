"""A comparison of two runs on the terminal, as Markdown, JSON and HTML."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from qdebug.errors import UsageError
from qdebug.reporters.console.look import Look
from qdebug.reporters.diff import FORMS, write_diff
from qdebug.reporters.diff.console import render_console
from qdebug.reporters.diff.view import headline, view
from qdebug.run.diff import RunDiff, diff_runs
from qdebug.run.model import Run
from tests.conftest import Golden
from tests.support import synthetic_run
from tests.support.page import Page
from tests.support.synthetic_extras import BOARD_DB, with_board


def per_channel(run: Run) -> Run:
    """The run as if its weights had been quantized per channel, under other names."""
    layers = tuple(
        dataclasses.replace(
            layer,
            name=f"renamed_{layer.index}",
            float_tensor=f"renamed_{layer.index}_out",
            weight=layer.weight and dataclasses.replace(layer.weight, per_channel=True),
        )
        for layer in run.layers
    )
    return dataclasses.replace(run, layers=layers)


@pytest.fixture(scope="module")
def worse() -> RunDiff:
    return diff_runs(synthetic_run(60, samples=2, sound=True), synthetic_run(60, samples=3))


@pytest.fixture(scope="module")
def better() -> RunDiff:
    return diff_runs(
        synthetic_run(60, samples=2), per_channel(synthetic_run(60, samples=2, sound=True))
    )


@pytest.fixture(scope="module")
def hostile() -> RunDiff:
    return diff_runs(
        synthetic_run(60, samples=2, sound=True),
        synthetic_run(60, samples=26, hostile_names=True),
    )


class TestView:
    def test_sources_stand_before_their_victims(self, worse: RunDiff) -> None:
        shown = view(worse)
        broken = [layer for layer in shown.regressed if layer.new_state != "ok"]
        sound = [layer for layer in shown.regressed if layer.new_state == "ok"]
        assert list(shown.regressed) == [*broken, *sound]
        assert [layer.new for layer in sound[:2]] == [59, 30]

    def test_what_improved_is_named_with_its_reason(self, better: RunDiff) -> None:
        shown = view(better)
        assert [layer.new for layer in shown.improved[:2]] == [59, 30]
        assert dict(shown.settings)["weights int8 per tensor → int8 per channel"] > 10
        assert headline(better) == "no regression; mixed-range no longer failed; 1 output better"

    def test_the_headline_counts_regressions(self, worse: RunDiff) -> None:
        assert re.fullmatch(r"\d+ regressions: 1 output, \d+ layers, 1 finding", headline(worse))


class TestConsole:
    def test_worse(self, golden: Golden, worse: RunDiff) -> None:
        golden("diff/worse.txt", render_console(worse, Look(100)).plain)

    def test_better(self, golden: Golden, better: RunDiff) -> None:
        golden("diff/better.txt", render_console(better, Look(100)).plain)

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_fits_the_page(self, hostile: RunDiff, width: int) -> None:
        for line in render_console(hostile, Look(width, ascii_only=True)).plain.splitlines():
            assert line.isascii()
            assert len(line) <= width


class TestFiles:
    def test_markdown(self, golden: Golden, better: RunDiff) -> None:
        golden("diff/better.md", FORMS[".md"](better))

    def test_json_holds_everything(self, worse: RunDiff) -> None:
        value = json.loads(FORMS[".json"](worse))
        assert value["schema"] == "qdebug.diff/1"
        assert value["exit_code"] == 1
        assert value["regressions"] == len(worse.regressions)
        assert len(value["layers"]) == len(worse.layers)
        assert value["layers"][59]["accumulated"]["new"] == pytest.approx(7.6, abs=0.1)

    @pytest.mark.parametrize("suffix", sorted(FORMS))
    def test_equal_comparisons_give_equal_files(
        self, worse: RunDiff, hostile: RunDiff, suffix: str, tmp_path: Path
    ) -> None:
        for diff in (worse, hostile):
            first = write_diff(diff, tmp_path / f"a{suffix}", force=True)
            assert first.read_bytes() == FORMS[suffix](diff).encode()

    def test_an_unknown_suffix(self, worse: RunDiff, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no form of a comparison"):
            write_diff(worse, tmp_path / "d.pdf")

    def test_page(self, worse: RunDiff) -> None:
        page = Page.parse(FORMS[".html"](worse))
        assert page.unbalanced == []
        assert page.scripts == []
        assert "REGRESSED" in page.text
        assert "the runs share 2 of 2 and 3 samples" in page.text
        assert "QD301" in page.text
        assert page.attributes("style") == []
        ids = page.attributes("id")
        assert len(ids) == len(set(ids))

    def test_hostile_names(self, hostile: RunDiff) -> None:
        page = Page.parse(FORMS[".html"](hostile))
        assert page.unbalanced == []
        assert all(tag not in ("script", "img") for tag, _ in page.elements)
        text = FORMS[".md"](hostile)
        assert len(text.splitlines()) <= 60
        for line in text.splitlines():
            if line.startswith("| "):
                assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7)

    def test_runs_without_layers(self) -> None:
        empty = dataclasses.replace(synthetic_run(1, samples=1), layers=(), outputs=(), findings=())
        diff = diff_runs(empty, empty)
        assert "no regression" in render_console(diff, Look(80)).plain
        for render in FORMS.values():
            assert render(diff)


def test_a_verdict_that_still_fails_is_not_hidden_behind_a_gain() -> None:
    run = synthetic_run(12)
    assert run.verdict.status == "fail"
    assert headline(diff_runs(run, run)) == "no regression; the verdict is still FAIL"


def test_a_board_is_told_in_every_form(tmp_path: Path) -> None:
    plain = synthetic_run(40, samples=2)
    diff = diff_runs(with_board(plain, at=9), with_board(plain, at=5, tensor="a[/b] {}"))
    arrow = f"board 40.0 → {BOARD_DB} dB"
    assert [layer.new for layer in view(diff).regressed] == [5]
    assert [layer.new for layer in view(diff).improved] == [9]
    assert arrow in render_console(diff, Look(120)).plain
    for name in ("a.md", "a.html"):
        assert arrow in write_diff(diff, tmp_path / name).read_text(encoding="utf-8")
    levels = json.loads(write_diff(diff, tmp_path / "a.json").read_text("utf-8"))["layers"]
    assert levels[5]["board"] == {"old": 40.0, "new": BOARD_DB}


def test_the_figure_of_changes_has_the_direction_of_all_charts(worse: RunDiff) -> None:
    """What got worse rises above the line, as an error does everywhere else."""
    page = FORMS[".html"](worse)
    assert "up is worse" in page
    paths = re.findall(r'<path d="M[\d.]+ ([\d.]+)V([\d.]+)', page)
    assert paths
    base = {start for start, _ in paths}
    assert len(base) == 1
    losing = re.search(r'<path d="([^"]+)" stroke="#b42318"', page)
    assert losing is not None
    ends = [float(end) for end in re.findall(r"V([\d.]+)", losing[1])]
    assert max(ends) <= float(base.pop())
