"""The command palette: everything that a key does, by its name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from qdebug.tui.keys import KEYS, Key, spoken

_HIDDEN = {"move", "text", "picks"}


class KeyCommands(Provider):
    """Keys of the screen that is on and of the application."""

    def _keys(self) -> Iterator[Key]:
        page = getattr(self.app, "page", None)
        here = page.id if page is not None else ""
        for key in KEYS:
            if key.scope in ("app", here) and key.scope not in _HIDDEN:
                yield key

    async def search(self, query: str) -> Hits:
        """Commands that match what was typed."""
        matcher = self.matcher(query)
        for key in self._keys():
            text = f"{key.about} ({spoken(key.keys)})"
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), partial(self._run, key), text)

    async def discover(self) -> Hits:
        """Every command, before anything is typed."""
        for key in self._keys():
            text = Text(f"{key.about} ({spoken(key.keys)})")
            yield DiscoveryHit(text, partial(self._run, key), text.plain)

    async def _run(self, key: Key) -> None:
        page = getattr(self.app, "page", None)
        target = page if key.scope != "app" and page is not None else self.app
        await self.app.run_action(key.action, target)
