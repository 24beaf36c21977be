"""Opening a run: what is there first, and what happens when it cannot be read."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from qdebug.errors import RunError
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Run
from qdebug.run.outcome import outcome_of
from qdebug.tui.app import Browser
from qdebug.tui.glyphs import UNICODE
from qdebug.tui.settings import Settings
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, here, notes, screen_text


async def test_it_opens_where_the_verdict_points(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        text = screen_text(pilot)
        assert "FAIL" in text
        assert outcome_of(run).sentence in text
        assert f"{len(run.layers)} of {len(run.layers)}" in text
        failing = next(f for f in run.findings if f.status == "fail")
        assert here(pilot) == failing.layers[0]


async def test_it_opens_on_the_dead_layer_not_on_a_sound_one_that_is_named_with_it(
    browse: Open, run: Run
) -> None:
    failing = next(f for f in run.findings if f.slug == "mixed-range")
    dead = failing.layers[0]
    sound = next(
        x.index for x in run.layers if x.worst_channel and x.worst_channel.sqnr_db > 20 and x.role
    )
    both = dataclasses.replace(failing, layers=(sound, dead))
    async with browse(dataclasses.replace(run, findings=(both,))) as pilot:
        assert here(pilot) == dead


async def test_a_damaged_run_leads_to_the_choice(
    browse: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.qdrun"
    bad.mkdir()
    (bad / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    async with browse(paths=(bad,)) as pilot:
        await pilot.pause()
        assert "is not a qdebug run" in notes(pilot)
        assert "bad.qdrun" in screen_text(pilot)


@pytest.mark.parametrize(("layers", "samples"), [(1, 1), (2, 3)])
async def test_tiny_runs_have_every_screen(browse: Open, layers: int, samples: int) -> None:
    async with browse(synthetic_run(layers=layers, samples=samples)) as pilot:
        for key in ("1", "n", "F", "s", "t", "Z", "2", "3", "4", "l", "enter"):
            await pilot.press(key)
        assert browser(pilot).is_running


async def test_a_run_without_layers_samples_or_findings_opens(browse: Open, run: Run) -> None:
    empty = dataclasses.replace(
        run, layers=(), samples=(), findings=(), outputs=(), files=MemoryFiles()
    )
    async with browse(empty) as pilot:
        for key in (
            "j",
            "n",
            "enter",
            "escape",
            "s",
            "t",
            "y",
            "x",
            "tab",
            "2",
            "3",
            "4",
            "l",
            "1",
        ):
            await pilot.press(key)
        assert "this run has no layers" in screen_text(pilot)


async def test_a_run_being_read_is_named_and_can_be_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = threading.Event()

    def slow(path: Path) -> Run:
        read.wait()
        raise RunError(f"{path} was read after all")

    monkeypatch.setattr("qdebug.tui.app.load_run", slow)
    app = Browser(None, (tmp_path / "slow.qdrun",), Settings(), UNICODE, {})
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert "reading slow.qdrun" in screen_text(pilot)
            assert app.page is None
            await pilot.press("2", "F", "slash", "question_mark", "escape")
            assert app.is_running
            await pilot.press("q")
            await pilot.pause()
            assert not app.is_running
    finally:
        read.set()
    assert app.return_code == 0
