"""The application: opens runs, holds the screens, and lives on when something fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.theme import Theme
from textual.worker import Worker, WorkerState, get_current_worker

from qdebug import collector
from qdebug.errors import QdebugError
from qdebug.run.model import Run
from qdebug.run.store import load_run
from qdebug.tui import palette
from qdebug.tui.bars import KeyBar, VerdictBar
from qdebug.tui.commands import KeyCommands
from qdebug.tui.context import Look, Session
from qdebug.tui.glyphs import Glyphs
from qdebug.tui.handoff import HandOff
from qdebug.tui.keyboard import OneKeyAtATime
from qdebug.tui.keys import BY_ID, bindings, footer_keys
from qdebug.tui.modals import TextScreen, help_lines
from qdebug.tui.pages.findings import FindingsPage
from qdebug.tui.pages.input import InputPage
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.pages.page import Copy, Page
from qdebug.tui.pages.picker import PickerPage
from qdebug.tui.pages.samples import SamplesPage
from qdebug.tui.settings import Settings

_TITLES = {
    "layers": "Layers",
    "findings": "Findings",
    "input": "Input",
    "samples": "Samples",
    "compare": "Compare",
    "scores": "Scores",
    "plan": "Plan",
}


class Browser(HandOff, OneKeyAtATime):
    """Browses one run, compares two, or offers those it finds.

    Args:
        run: a run that is open already.
        paths: runs to open; two are compared.
        settings: the user's taste.
        glyphs: characters to draw with.
        environment: for ``NO_COLOR``.
        complaint: a problem with the settings, told once the browser is there.
    """

    TITLE = "qdebug"
    CSS_PATH = "style.tcss"
    COMMANDS = App.COMMANDS | {KeyCommands}
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("app"),
        Binding("ctrl+q", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        run: Run | None,
        paths: Sequence[Path],
        settings: Settings,
        glyphs: Glyphs,
        environment: Mapping[str, str],
        complaint: QdebugError | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.paths = list(paths)
        self._given = run
        self._complaint = complaint
        for theme in palette.THEMES:
            self.register_theme(theme)
        self.look = Look(glyphs, palette.palette_of(palette.DARK))
        self.session: Session | None = None
        self.other: Session | None = None
        self.theme = self._first_theme(environment)

    def _first_theme(self, environment: Mapping[str, str]) -> str:
        if environment.get("NO_COLOR"):
            return palette.MONO.name
        wish = self.settings.theme
        if wish is not None and wish not in self.available_themes:
            known = ", ".join(palette.CYCLE)
            self._complaint = QdebugError(f"there is no theme {wish!r}", f"themes: {known}")
            wish = None
        return wish or palette.DARK.name

    def compose(self) -> ComposeResult:
        """Bars and, between them, room for the screens."""
        yield VerdictBar(self.look)
        yield Container(id="pages")
        yield KeyBar(self.look)

    def on_mount(self) -> None:
        """Open what was asked for."""
        self.set_class(self.look.glyphs.ascii_only, "ascii")
        self.set_keymap(dict(self.settings.keys))
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self._theme_changed(self.current_theme)
        if self._complaint is not None:
            self.complain(self._complaint)
        if self._given is not None:
            self.call_later(self.open_session, Session(self._given))
        elif self.paths:
            self._say(f"reading {' and '.join(path.name for path in self.paths)}")
            self._load(self.paths)
        else:
            self.call_later(self.pick)

    def _say(self, note: str) -> None:
        bar = self.query_one(VerdictBar)
        bar.note = note
        bar.refresh()

    # Opening.

    @work(thread=True, exclusive=True, exit_on_error=False, group="load")
    def _load(self, paths: Sequence[Path]) -> None:
        worker = get_current_worker()
        with collector.paused(keep=True):
            sessions = [Session(load_run(path), path) for path in paths[:2]]
        if not worker.is_cancelled:
            self.call_from_thread(self.call_later, self.open_session, *sessions)

    async def open_session(self, session: Session, other: Session | None = None) -> None:
        """Show a run, or compare two; the input comes first when it failed."""
        self.session, self.other = session, other
        pages: list[Page] = [
            LayersPage(self.look, session),
            FindingsPage(self.look, session),
            InputPage(self.look, session),
            SamplesPage(self.look, session),
        ]
        if other is not None:
            from qdebug.tui.pages.compare import ComparePage

            pages.append(ComparePage(self.look, session, other))
        if session.run.datasets:
            from qdebug.tui.pages.scores import ScoresPage

            pages.append(ScoresPage(self.look, session))
        if session.run.tuning is not None:
            from qdebug.tui.pages.plan import PlanPage

            pages.append(PlanPage(self.look, session, session.run.tuning))
        first = _first_page(session, other)
        await self._show_pages(pages, first)
        self.call_after_refresh(self._warm, session)

    # Without a description Textual makes one out of the arguments, a whole run among them.
    @work(thread=True, group="warm", exit_on_error=False, description="warm")
    def _warm(self, session: Session) -> None:
        """Read what the first filter and the first histogram would wait for."""
        for name in ("name", "tensor", "op"):
            session.index.texts(name)
        session.arrays.histogram(0)

    async def pick(self) -> None:
        """Offer the runs found here."""
        await self._show_pages([PickerPage(self.look, Path.cwd())], "picker")

    def on_picker_page_chosen(self, event: PickerPage.Chosen) -> None:
        """Open the chosen runs."""
        self.paths = list(event.paths)
        self._say(f"reading {' and '.join(path.name for path in self.paths)}")
        self._load(self.paths)

    async def _show_pages(self, pages: Sequence[Page], first: str) -> None:
        room = self.query_one("#pages", Container)
        await room.remove_children()
        await room.mount(*pages)
        self.show_page(first)

    # Screens.

    @property
    def page(self) -> Page | None:
        """The screen that is on."""
        found = self.query("#pages > Page.current")
        return found.first(Page) if found else None

    def show_page(self, name: str) -> None:
        """Switch to a screen; each keeps its place."""
        target = self.query(f"#pages > #{name}")
        if not target:
            return
        for page in self.query("#pages > Page").results(Page):
            page.set_class(page.id == name, "current")
        target.first(Page).entered()
        self.update_bars()

    def update_bars(self) -> None:
        """Bring verdict, tabs and keys up to date."""
        verdict, footer = self.query(VerdictBar), self.query(KeyBar)
        if not (verdict and footer):  # gone before the last message is: the browser is closing
            return
        page = self.page
        here = page.id or "" if page is not None else ""
        ids = [p.id or "" for p in self.query("#pages > Page").results(Page)]
        tabs = [(i, f"{n} {_TITLES[i]}") for n, i in enumerate(_TITLES, 1) if i in ids]
        verdict.first().show(self.session, tabs, here)
        scopes = page.scopes if page is not None else ("app",)
        keys = [(key, self.settings.keys.get(key.id, key.keys)) for key in footer_keys(scopes)]
        footer.first().show(keys, page.status() if page is not None else "")

    def on_page_changed(self) -> None:
        """Something that the bars show has changed."""
        self.update_bars()

    def on_page_leave(self) -> None:
        """Back to the layers."""
        self.show_page("layers")

    def on_page_show_input(self) -> None:
        """To the input."""
        self.show_page("input")

    def on_page_jump(self, event: Page.Jump) -> None:
        """To layers, from another screen."""
        self.show_page("layers")
        layers = self.query_one(LayersPage)
        if event.query is not None:
            layers.show_query(event.query, event.layer)
        elif event.layer is not None:
            layers.go_to(event.layer)

    def on_verdict_bar_tab_clicked(self, event: VerdictBar.TabClicked) -> None:
        """A click on a screen's name."""
        self.show_page(event.page)

    def on_copy(self, event: Copy) -> None:
        """Put a text on the clipboard, also through SSH where the terminal allows it."""
        self.copy_to_clipboard(event.text)
        self.notify(f"Copied {event.what}.", markup=False)

    def action_page(self, name: str) -> None:
        """Switch to a screen."""
        self.show_page(name)

    def action_help(self) -> None:
        """Every key."""
        page = self.page
        scopes = [s for s in (page.scopes if page else ()) if s in ("app", page.id)]  # type: ignore[union-attr]
        keymap = {i: self.settings.keys.get(i, key.keys) for i, key in BY_ID.items()}
        self.push_screen(
            TextScreen(
                self.look,
                "Keys, and what the signs mean at the end",
                lambda width: help_lines(keymap, self.look, scopes, width),
            )
        )

    # Looks.

    def action_next_theme(self) -> None:
        """The next theme."""
        names = palette.CYCLE
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.notify(self.theme, title="Theme", markup=False, timeout=2)

    def _theme_changed(self, theme: Theme) -> None:
        self.look.palette = palette.palette_of(theme)
        for page in self.query("#pages > Page").results(Page):
            if page.has_class("current"):
                page.redraw()
        self.query_one(VerdictBar).refresh()
        self.query_one(KeyBar).refresh()

    # Failing.

    def complain(self, error: Exception) -> None:
        """Tell of an error; the browser lives on."""
        if isinstance(error, QdebugError):
            text = f"{error.message}.\n{error.hint}" if error.hint else f"{error.message}."
        else:
            text = f"This failed: {error!r}. The rest still works."
        self.notify(text, severity="error", timeout=12, markup=False)

    async def run_action(
        self,
        action: str | tuple[str, str, tuple[object, ...]],
        default_namespace: object = None,
        namespaces: Mapping[str, object] | None = None,
    ) -> bool:
        """Run a key's action; one that fails is told and forgotten."""
        try:
            return await super().run_action(action, default_namespace, namespaces)  # type: ignore[arg-type]
        except Exception as error:  # the boundary between a key and the application
            self.complain(error)
            return True

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A run that cannot be read leads to the choice of another."""
        if event.state is WorkerState.ERROR and isinstance(event.worker.error, Exception):
            self.complain(event.worker.error)
            if event.worker.group == "load":
                self._say("no run is open")
                if self.session is None:
                    self.call_later(self.pick)

    def on_resize(self) -> None:
        """The bars fit their content to the width."""
        self.call_after_refresh(self.update_bars)


def _first_page(session: Session, other: Session | None) -> str:
    """What matters most in these runs."""
    if other is not None:
        return "compare"
    if session.input_failed:
        return "input"
    if session.run.tuning is not None:
        return "plan"
    return "scores" if session.run.datasets and not session.run.layers else "layers"
