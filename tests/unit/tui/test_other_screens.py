"""Findings, input, samples and two runs compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from qdebug.run.model import Run
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, here, layers_page, screen_text


async def test_findings_lead_to_their_layers_and_the_place_is_kept(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("2", "enter")
        await pilot.pause()
        finding = next(f for f in run.findings if f.slug == "mixed-range")
        assert layers_page(pilot).rows.filter.text == "finding:mixed-range"
        assert layers_page(pilot).rows.shown == len(finding.layers)
        assert here(pilot) == finding.layers[0]
        await pilot.press("3", "1")
        assert here(pilot) == finding.layers[0]


async def test_passed_checks_are_folded_until_asked_for(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("2")
        assert "Passed (" in screen_text(pilot)
        assert "bad-scale" not in screen_text(pilot)
        await pilot.press("G", "k", "space")
        assert "bad-scale" in screen_text(pilot)


async def test_the_input_comes_first_when_it_failed(browse: Open, input_failed: Run) -> None:
    async with browse(input_failed) as pilot:
        page = browser(pilot).page
        assert page is not None
        assert page.id == "input"
        text = screen_text(pilot)
        assert "channel-order" in text
        assert "Feed RGB" in text
        assert "difference" in text
        assert "▀" in text


async def test_an_input_alarm_stays_in_sight_until_it_was_seen(
    browse: Open, input_failed: Run
) -> None:
    passed = dataclasses.replace(
        input_failed, verdict=dataclasses.replace(input_failed.verdict, gate="int8")
    )
    async with browse(passed) as pilot:
        for key in "124":
            await pilot.press(key)
            assert "input: channel-order" in screen_text(pilot)
        await pilot.press("3", "1")
        assert "input: channel-order" not in screen_text(pilot)


async def test_an_input_that_nothing_checked_is_not_praised(browse: Open) -> None:
    run = dataclasses.replace(synthetic_run(12), findings=())
    async with browse(run, size=(120, 40)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        shown = screen_text(pilot)
    assert "Not checked" in shown
    assert "--fed TENSOR" in shown


async def test_samples_lead_to_layers(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("4")
        await pilot.pause()
        assert all(sample.name in screen_text(pilot) for sample in run.samples)
        await pilot.press("s", "j", "l", "h", "enter")
        await pilot.pause()
        page = browser(pilot).page
        assert page is not None
        assert page.id == "layers"


async def test_boxes_are_shown_with_the_picture(browse: Open, run: Run) -> None:
    async with browse(run, size=(120, 60)) as pilot:
        await pilot.press("4", "s", "g")
        await pilot.pause()
        text = screen_text(pilot)
        assert "person" in text
        assert "lost" in text


async def test_two_runs_are_compared(browse: Open, tmp_path: Path, run: Run) -> None:
    from qdebug.run.store import RunWriter

    for name, other in (("a", run), ("b", synthetic_run(layers=120, samples=4, sound=True))):
        with RunWriter(tmp_path / f"{name}.qdrun") as writer:
            writer.commit(other, other.arrays)
    paths = (tmp_path / "a.qdrun", tmp_path / "b.qdrun")
    async with browse(paths=paths) as pilot:
        text = screen_text(pilot)
        assert "FAIL" in text
        assert "PASS" in text
        assert "gone" in text
        await pilot.press("enter")
        page = browser(pilot).page
        assert page is not None
        assert page.id == "layers"
