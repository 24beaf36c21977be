"""The browser on every screen: sizes, names, looks, keys, the mouse, and failing actions."""

from __future__ import annotations

import pytest

from qdebug.run.model import Run
from qdebug.tui.bars import VerdictBar
from qdebug.tui.glyphs import ASCII
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.settings import Settings
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, here, layers_page, notes, screen_text


async def test_an_action_that_fails_is_told(
    browse: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browse(run) as pilot:
        monkeypatch.setattr(LayersPage, "action_mark", lambda _: 1 / 0)
        await pilot.press("m")
        assert "division by zero" in notes(pilot)
        await pilot.press("j")
        assert browser(pilot).is_running


async def test_a_message_that_comes_while_it_closes_finds_no_bars(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        page = layers_page(pilot)
        await browser(pilot).query_one(VerdictBar).remove()
        page.post_message(page.Changed())
        await pilot.pause()
        assert browser(pilot).is_running


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60), (20, 6)])
async def test_every_screen_draws_at_every_size(
    browse: Open, run: Run, size: tuple[int, int]
) -> None:
    async with browse(run, size=size) as pilot:
        for key in "1234":
            await pilot.press(key)
            await pilot.pause()
            lines = screen_text(pilot).split("\n")
            assert len(lines) == size[1]


@pytest.mark.parametrize("width", [80, 120])
async def test_the_worst_channel_comes_before_what_hides_it(
    browse: Open, run: Run, width: int
) -> None:
    async with browse(run, size=(width, 24)) as pilot:
        second = screen_text(pilot).split("\n")[1]
    assert second.startswith(" output0 worst channel ")
    assert ("accumulated" in second) == (width == 120)


async def test_the_layout_follows_the_terminal(browse: Open, run: Run) -> None:
    async with browse(run, size=(120, 40)) as pilot:
        await pilot.press("G")
        place = here(pilot)
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert not layers_page(pilot).has_class("wide")
        assert here(pilot) == place
        assert run.layers[-1].name[-8:] in screen_text(pilot)


async def test_names_are_shown_as_they_are(browse: Open) -> None:
    hostile = synthetic_run(layers=60, samples=8, hostile_names=True)
    async with browse(hostile, size=(120, 50)) as pilot:
        await pilot.press("G")
        text = screen_text(pilot)
        for name in ("w[bold]x", "a[/b]c", "名前/層/畳み込み", r"two\nlines", r"\x07"):
            assert name in text, name
        for key in "23415":
            await pilot.press(key)
            await pilot.pause()
            assert "\x1b" not in screen_text(pilot)


async def test_ascii_is_ascii(browse: Open, run: Run) -> None:
    async with browse(run, glyphs=ASCII) as pilot:
        for key in ("1", "tab", "tab", "tab", "tab", "tab", "2", "3", "4"):
            await pilot.press(key)
            await pilot.pause()
            assert screen_text(pilot).isascii()


async def test_keys_can_be_remapped_and_help_shows_it(browse: Open, run: Run) -> None:
    settings = Settings(keys={"layers.next_source": "ctrl+n"})
    async with browse(run, settings=settings) as pilot:
        await pilot.press("g", "n")
        before = here(pilot)
        assert before == 0
        await pilot.press("ctrl+n")
        assert here(pilot) > before
        await pilot.press("question_mark")
        await pilot.pause()
        assert "^n" in screen_text(pilot)
        await pilot.press("escape")


async def test_themes_change_what_is_drawn_and_no_color_is_mono(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        before = browser(pilot).look.palette
        await pilot.press("T")
        await pilot.pause()
        assert browser(pilot).theme == "qdebug-light"
        assert browser(pilot).look.palette != before
    async with browse(run, environment={"NO_COLOR": "1"}) as pilot:
        assert browser(pilot).theme == "qdebug-mono"
        assert browser(pilot).look.palette.mono


async def test_the_mouse_selects_sorts_and_switches(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g")
        table = layers_page(pilot).table
        await pilot.click(table, offset=(12, 4))
        assert here(pilot) == 3
        heading = next(x for x in range(80) if "local" in table.render_line(0).text[x : x + 5])
        await pilot.click(table, offset=(heading + 1, 0))
        assert layers_page(pilot).rows.sort == "local"
        await pilot.click("VerdictBar", offset=(106, 1))
        page = browser(pilot).page
        assert page is not None
        assert page.id in ("input", "findings", "samples")


async def test_the_palette_offers_the_keys(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"last")
        await pilot.pause(0.4)
        await pilot.press("escape", "escape")
        assert browser(pilot).is_running
