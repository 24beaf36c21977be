"""One key at a time: a key is read where the key before it has put the focus.

Textual hands every key to the widget that has the focus when the key arrives, and acts on a binding
only after the key has bubbled up to the application. Keys that arrive together (fast typing, a slow
line, a paste) would all go where the first one went: ``/op:Conv`` would be taken as commands.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.timer import Timer

_LAPS = 3
"""The key and its binding; the message that the binding posts; the one that answers it."""
_PATIENCE_S = 0.5
"""By judgement: a widget that was closed while it had a key never says that it is done."""


class OneKeyAtATime(App[None]):
    """An application in which a key waits until the one before it was acted on."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[events.Event] = deque()
        self._acting = 0
        """Number of the key that is acted on; 0 where none is."""
        self._keys = 0
        self._patience: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        """Let keys and pasted text wait for their turn."""
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting.append(event)
        if not self._acting:
            await self._act()

    async def _act(self) -> None:
        """Hand on the next key, and follow it on its way up to the application."""
        self._keys += 1
        self._acting = self._keys
        target: MessagePump = self.focused or self.screen
        await super().on_event(self._waiting.popleft())
        self._follow(target, target, self._acting, _LAPS)
        self._patience = self.set_timer(_PATIENCE_S, partial(self._done, self._acting))

    def _follow(self, target: MessagePump, pump: MessagePump, key: int, laps: int) -> None:
        """Queue behind the key, in every widget that it bubbles through, so many times."""
        if pump is not self:
            above = pump._parent or self
            if not pump.call_later(self._follow, target, above, key, laps):
                self._follow(target, self, key, laps)  # it was closed
        elif laps > 1:
            self.call_later(self._follow, target, target, key, laps - 1)
        else:
            self.call_later(self._done, key)  # behind a change of focus, which is queued likewise

    async def _done(self, key: int) -> None:
        if key != self._acting:
            return
        self._acting = 0
        if self._patience is not None:
            self._patience.stop()
        if self._waiting:
            await self._act()
