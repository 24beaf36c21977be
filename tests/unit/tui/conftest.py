"""Browsers on generated runs, driven without a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from qdebug.run.model import Run
from qdebug.tui.app import Browser
from qdebug.tui.glyphs import UNICODE, Glyphs
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.settings import Settings
from tests.support.synthetic import synthetic_run

Open = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


@pytest.fixture(scope="session")
def run() -> Run:
    return synthetic_run(layers=120, samples=4)


@pytest.fixture(scope="session")
def input_failed() -> Run:
    return synthetic_run(layers=60, samples=3, input_failed=True)


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nobody's theme, keys or colours change what a test sees."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("NO_COLOR", "QDEBUG_ASCII", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
    yield


@pytest.fixture
def browse() -> Open:
    """Open a browser on a run, ready for keys."""

    @asynccontextmanager
    async def opened(
        run: Run | None = None,
        *,
        size: tuple[int, int] = (120, 40),
        paths: tuple[Path, ...] = (),
        settings: Settings | None = None,
        glyphs: Glyphs = UNICODE,
        environment: dict[str, str] | None = None,
    ) -> AsyncIterator[Pilot[None]]:
        app = Browser(run, paths, settings or Settings(), glyphs, environment or {})
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            yield pilot

    return opened


async def settle(pilot: Pilot[None]) -> None:
    """Wait until the first screen is on, its workers are done and everything is drawn."""
    app = pilot.app
    assert isinstance(app, Browser)
    while app.page is None:
        await pilot.pause(0.01)
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()


def browser(pilot: Pilot[None]) -> Browser:
    """The application under test."""
    assert isinstance(pilot.app, Browser)
    return pilot.app


def layers_page(pilot: Pilot[None]) -> LayersPage:
    """The layers screen."""
    return pilot.app.query_one(LayersPage)


def here(pilot: Pilot[None]) -> int:
    """Index of the layer with the cursor."""
    current = layers_page(pilot).rows.current
    assert current is not None
    return current.index


def notes(pilot: Pilot[None]) -> str:
    """What the browser has told in passing."""
    return "\n".join(note.message for note in pilot.app._notifications)


def screen_text(pilot: Pilot[None]) -> str:
    """What is on screen, as lines of text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)
