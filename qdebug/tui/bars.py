"""The two bars every screen has: the verdict above, the keys below."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from qdebug.run.standing import output_channel
from qdebug.tui.context import Look, Session
from qdebug.tui.keys import Key, spoken
from qdebug.tui.lines import line
from qdebug.tui.text import cut_middle, fit
from qdebug.vocabulary.numbers import decibel


class VerdictBar(Widget):
    """Verdict and reason; models and outputs; the screens and which one is on."""

    DEFAULT_CSS = "VerdictBar { height: 2; dock: top; background: $panel; }"

    class TabClicked(Message):
        """A screen's name was clicked."""

        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.session: Session | None = None
        self.pages: Sequence[tuple[str, str]] = ()
        self.current = ""
        self.note = "qdebug"

    def show(self, session: Session | None, pages: Sequence[tuple[str, str]], current: str) -> None:
        """Show a run's verdict and the screens, as ``(id, "1 Layers")``."""
        self.session, self.pages, self.current = session, pages, current
        self.refresh()

    def render(self) -> Text:
        """Both lines."""
        width = self.size.width
        text = Text(no_wrap=True, end="")
        text.append_text(self._first(width))
        text.append("\n")
        text.append_text(self._second(width))
        return text

    def _first(self, width: int) -> Text:
        session, palette = self.session, self.look.palette
        if session is None:
            return line((fit(f" {self.note}", width, self.look.glyphs), palette.bold))
        verdict = session.run.verdict
        badge = f" {verdict.status.upper()} "
        alarm = self._alarm(session)
        room = width - len(badge) - cell_len(alarm) - 2
        first = line((badge, palette.badges[verdict.status]), " ")
        outcome = session.outcome
        told = outcome.sentence
        if outcome.finding is not None:
            told += f". {outcome.finding.slug}: {outcome.finding.title}"
        first.append(fit(self.look.glyphs.text(told), max(room, 0), self.look.glyphs, prose=True))
        first.append(f" {alarm}", palette.badges["warn"] if alarm else "")
        return first

    def _alarm(self, session: Session) -> str:
        """The preprocessing mismatch, on every screen until the input screen was seen."""
        alarms = session.input_alarms
        if not alarms or session.input_seen:
            return ""
        more = f" +{len(alarms) - 1}" if len(alarms) > 1 else ""
        return f" input: {alarms[0].slug}{more}, press 3 "

    def _second(self, width: int) -> Text:
        tabs = self._tabs()
        room = max(width - tabs.cell_len - 1, 0)
        summary = self._summary(room) if self.session else ""
        row = line((fit(f" {summary}", room, self.look.glyphs), self.look.palette.dim), " ")
        return row.append_text(tabs)

    def _summary(self, width: int) -> str:
        """As much about the run as fits, the most telling first."""
        if self.session is None:
            return ""
        run, glyphs = self.session.run, self.look.glyphs
        worst = min(
            (o for o in run.outputs if o.accumulated),
            key=lambda o: o.accumulated.sqnr_db if o.accumulated else 0.0,
            default=None,
        )
        parts = [f"{len(run.samples)} sample{'s' * (len(run.samples) != 1)}"]
        if worst and worst.accumulated:
            value = glyphs.text(decibel(worst.accumulated.sqnr_db))
            told = [f"accumulated {value} dB"]
            channel = output_channel(run, worst)
            if channel is not None:
                told.insert(0, f"worst channel {glyphs.text(decibel(channel.sqnr_db))} dB")
            told[0] = f"{cut_middle(worst.name, 20, glyphs)} {told[0]}"
            parts = [*told, *parts]
        files = (run.models.float.file, run.models.quant.file)
        names = [cut_middle(name, 40, glyphs) for name in files]
        parts.append(f" {glyphs.between} ".join(names))
        dot = f" {glyphs.dot} "
        while len(parts) > 1 and cell_len(dot.join(parts)) >= width:
            parts.pop()
        return dot.join(parts)

    def _tabs(self) -> Text:
        text = line()
        for page, label in self.pages:
            here = page == self.current
            style = Style(reverse=True, bold=True) if here else self.look.palette.text
            text.append(f" {label} ", style)
        return text

    def on_click(self, event: events.Click) -> None:
        """Switch to the screen whose name was clicked; a click on the alarm shows the input."""
        tabs = self._tabs()
        at = event.x - (self.size.width - tabs.cell_len)
        if event.y == 0:
            if self.session is not None and self._alarm(self.session):
                self.post_message(self.TabClicked("input"))
            return
        for page, label in self.pages:
            room = cell_len(label) + 2
            if 0 <= at < room:
                self.post_message(self.TabClicked(page))
                return
            at -= room


class KeyBar(Widget):
    """The most useful keys here, and at the right what is shown and what is hidden."""

    DEFAULT_CSS = "KeyBar { height: 1; dock: bottom; background: $panel; }"

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.keys: Sequence[tuple[Key, str]] = ()
        self.status = ""

    def show(self, keys: Sequence[tuple[Key, str]], status: str) -> None:
        """Show keys, most useful first, each with the keys bound now; and a status."""
        self.keys, self.status = keys, status
        self.refresh()

    def render(self) -> Text:
        """As many keys as fit beside the status."""
        width, glyphs, palette = self.size.width, self.look.glyphs, self.look.palette
        status = cut_middle(self.status, max(width * 11 // 20, 10), glyphs)
        room = width - cell_len(status) - 2
        row = line(" ")
        for key, bound in self.keys:
            name = spoken(bound, first=True)
            if row.cell_len + len(name) + len(key.label) + 3 > room:
                continue
            row.append(name, palette.accent + palette.bold)
            row.append(f" {key.label}  ")
        row.append(" " * max(width - row.cell_len - cell_len(status) - 1, 0))
        row.append(status, palette.dim)
        return row
