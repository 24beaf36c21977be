"""Pictures of the main screens. What keys do is tested in ``tests/unit/tui``, not here.

The pictures hold for the Textual version that the ``dev`` group pins. To renew them after a change
that is meant: ``pytest tests/snapshots --snapshot-update``, and look at each one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from textual.pilot import Pilot

from qdebug.run.model import Run
from qdebug.tui.app import Browser
from qdebug.tui.glyphs import ASCII, UNICODE
from qdebug.tui.settings import Settings
from tests.support.synthetic import synthetic_run

Snap = Callable[..., bool]
KINDS: dict[str, dict[str, bool]] = {
    "detector": {},
    "input": {"input_failed": True},
    "hostile": {"hostile_names": True},
}
SCREENS = {
    "layers-80x24": ("detector", (80, 24), ()),
    "layers-120x40": ("detector", (120, 40), ("g", "n", "m", "x")),
    "layers-200x60": ("detector", (200, 60), ("tab",)),
    "outline-folded": ("detector", (100, 30), ("t", "Z")),
    "detail-zoomed": ("detector", (100, 40), ("enter", "tab")),
    "filter-at-fault": ("detector", (80, 24), ("slash", *"sqrn<3")),
    "findings": ("detector", (120, 40), ("2",)),
    "input-failed": ("input", (120, 40), ()),
    "samples": ("detector", (120, 40), ("4",)),
    "help": ("detector", (120, 40), ("question_mark",)),
    "hostile-names": ("hostile", (120, 40), ("G",)),
    "ascii-mono": ("detector", (80, 24), ("G", "tab")),
}


@cache
def generated(kind: str) -> Run:
    return synthetic_run(layers=120, samples=4, **KINDS[kind])


@pytest.mark.parametrize("name", SCREENS)
def test_screen(
    name: str, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    kind, size, keys = SCREENS[name]
    plain = name == "ascii-mono"
    glyphs, environment = (ASCII, {"NO_COLOR": "1"}) if plain else (UNICODE, {})
    app = Browser(generated(kind), (), Settings(), glyphs, environment)

    async def drive(pilot: Pilot[None]) -> None:
        while app.page is None:
            await pilot.pause(0.01)
        await app.workers.wait_for_complete()
        await pilot.press(*keys)
        app.clear_notifications()
        await app.workers.wait_for_complete()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=drive)
