"""No screen lets a text of the run through to the terminal."""

from __future__ import annotations

from qdebug.run.clean import cleaned
from tests.support.attack import UNSAFE, attacking_run
from tests.unit.tui.conftest import Open, screen_text


async def test_no_screen_passes_it_on(browse: Open) -> None:
    async with browse(cleaned(attacking_run()), size=(160, 50)) as pilot:
        for key in ("1", "2", "enter", "escape", "3", "4"):
            await pilot.press(key)
            await pilot.pause()
            assert UNSAFE.findall(screen_text(pilot)) == []
