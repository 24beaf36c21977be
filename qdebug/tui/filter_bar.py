"""The line on which a filter is typed; it stays in sight while a filter is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from qdebug.run.filter import FilterError
from qdebug.run.layer_fields import FIELDS
from qdebug.tui.context import Look, Session
from qdebug.tui.lines import line
from qdebug.tui.text import cut_middle


class FilterSuggester(Suggester):
    """Completes the word being typed: a field, or a value of one."""

    def __init__(self, session: Session) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._session = session
        self._known: dict[str, list[str]] = {}

    async def get_suggestion(self, value: str) -> str | None:
        """The whole text with its last word completed."""
        head, _, word = value.rpartition(" ")
        negation, word = ("!", word[1:]) if word.startswith("!") else ("", word)
        done = self._complete(word)
        if done is None or done == word:
            return None
        return f"{head} {negation}{done}" if head else f"{negation}{done}"

    def _complete(self, word: str) -> str | None:
        name, colon, part = word.partition(":")
        if colon and name in FIELDS and not FIELDS[name].numeric and part:
            values = self._values(name)
            found = next((v for v in values if v.startswith(part.lower())), None)
            return f"{name}:{found}" if found else None
        if word and not colon:
            field = next((f for f in FIELDS.values() if f.name.startswith(word)), None)
            return f"{field.name}{'<' if field.numeric else ':'}" if field else None
        return None

    def _values(self, name: str) -> list[str]:
        if name not in self._known:
            texts = self._session.index.texts(name)
            self._known[name] = sorted({text for several in texts for text in several})[:5000]
        return self._known[name]


class FilterInput(Input):
    """An input in which Esc and the arrows up and down mean something."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "abandon", show=False),
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
        Binding("tab", "cursor_right", show=False),
    ]

    class Abandoned(Message):
        """Esc was pressed."""

    def __init__(self, history: Sequence[str], suggester: Suggester) -> None:
        super().__init__(suggester=suggester, select_on_focus=False, placeholder="op:Conv sqnr<20")
        self._history = history
        self._at = 0

    def on_focus(self, _: events.Focus) -> None:
        """Begin behind the newest filter of the history."""
        self._at = len(self._history)

    def action_abandon(self) -> None:
        """Leave without the change."""
        self.post_message(self.Abandoned())

    def action_recall(self, step: int) -> None:
        """An earlier or later filter."""
        self._at = min(max(self._at + step, 0), len(self._history))
        self.value = self._history[self._at] if self._at < len(self._history) else ""
        self.cursor_position = len(self.value)


class FilterBar(Vertical):
    """The filter and, below it, what is wrong with it."""

    DEFAULT_CSS = """
    FilterBar { height: auto; display: none; }
    FilterBar.on { display: block; }
    FilterBar Horizontal { height: 1; background: $surface; }
    FilterBar .mark { width: 9; }
    FilterBar Input { border: none; height: 1; padding: 0; width: 1fr; background: $surface; }
    FilterBar Input:focus { border: none; }
    FilterBar .error { height: auto; max-height: 3; display: none; }
    FilterBar.wrong .error { display: block; }
    """

    class Typed(Message):
        """The text of the filter changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Typing ended; ``kept`` says whether the filter is to stay."""

        def __init__(self, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__()
        self.look = look
        self.history: list[str] = []
        self._suggester = FilterSuggester(session)

    def compose(self) -> ComposeResult:
        """The line, and room for an error."""
        with Horizontal():
            yield Static(" filter /", classes="mark", markup=False)
            yield FilterInput(self.history, self._suggester)
        yield Static("", classes="error", markup=False)

    @property
    def input(self) -> FilterInput:
        """Where it is typed."""
        return self.query_one(FilterInput)

    def open(self) -> None:
        """Show the line and type on it."""
        self.add_class("on")
        self.input.focus()

    def set_text(self, text: str) -> None:
        """Show a filter that was set otherwise."""
        with self.input.prevent(Input.Changed):
            self.input.value = text
        self.set_class(bool(text), "on")
        self.complain(None)

    def complain(self, error: FilterError | None) -> None:
        """Show what is wrong, with the word at fault, or nothing."""
        self.set_class(error is not None, "wrong")
        if error is None:
            return
        word = self.input.value[error.start : error.end]
        text: Text = line(
            (f" {cut_middle(word, 24, self.look.glyphs)} ", self.look.palette.found),
            (f" {error.message}", self.look.palette.warn),
        )
        if error.hint:
            text.append(f". {error.hint}", self.look.palette.dim)
        text.no_wrap = False
        self.query_one(".error", Static).update(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go back to the list."""
        event.stop()
        text = event.value.strip()
        if text and (not self.history or self.history[-1] != text):
            self.history.append(text)
        self.set_class(bool(text), "on")
        self.post_message(self.Closed(True))

    def on_filter_input_abandoned(self, event: FilterInput.Abandoned) -> None:
        """Forget the change and go back to the list."""
        event.stop()
        self.post_message(self.Closed(False))
