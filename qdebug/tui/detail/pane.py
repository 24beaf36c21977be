"""The detail pane: a layer's name, the tabs, and the tab that is on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from rich.style import Style
from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, get_current_worker

from qdebug.errors import QdebugError
from qdebug.run.model import Layer
from qdebug.tui import tensor
from qdebug.tui.context import Look, Session
from qdebug.tui.detail import TAB_NAMES, TABS, TENSOR, View
from qdebug.tui.detail.view import layer_glyph
from qdebug.tui.lines import line
from qdebug.tui.tensor import Place, Plane, Scatter
from qdebug.tui.text import fit, wrap
from qdebug.tui.textview import ReadingView, TextView

_BINS, _CROP_BINS = 96, 48
"""Cells of the scatter along each axis; a crop has few values."""


class TabRow(Widget):
    """The layer's name and the names of the tabs."""

    DEFAULT_CSS = "TabRow { height: 2; }"

    class Clicked(Message):
        """A tab was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.subject: Layer | None = None
        self.current = TAB_NAMES[0]

    def render(self) -> Text:
        """Both lines."""
        text = self._title()
        text.append("\n")
        for name, label in self._labels():
            here = name == self.current
            text.append(label, Style(reverse=True) if here else self.look.palette.dim)
        return text

    def _title(self) -> Text:
        width = self.size.width
        if self.subject is None:
            return line((fit(" no layer", width, self.look.glyphs), self.look.palette.dim))
        glyph, style = layer_glyph(self.subject, self.look)
        head = f" #{self.subject.index} {self.subject.op}  "
        room = max(width - len(head) - 3, 4)
        return line(
            (f" {glyph}", style),
            (head, self.look.palette.accent),
            (fit(self.subject.name, room, self.look.glyphs), self.look.palette.bold),
        )

    def _labels(self) -> Iterator[tuple[str, str]]:
        """Tab names with blanks; those that are not on are cut where room is short."""
        full = sum(len(name) + 2 for name in TAB_NAMES)
        for name in TAB_NAMES:
            short = full > self.size.width and name != self.current
            yield name, f" {name[:4]} " if short else f" {name} "

    def on_click(self, event: events.Click) -> None:
        """Choose a tab."""
        at = event.x
        for name, label in self._labels():
            if event.y == 1 and 0 <= at < len(label):
                self.post_message(self.Clicked(name))
                return
            at -= len(label)


class DetailPane(Vertical):
    """Shows one layer; the tab stays when the layer changes."""

    DEFAULT_CSS = """
    DetailPane { height: 1fr; }
    DetailPane ReadingView { height: 1fr; }
    """

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__()
        self.look = look
        self.session = session
        self.subject: Layer | None = None
        self.tab = TAB_NAMES[0]
        self.log_counts = True
        self.place = Place()
        self._reading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """Name, tabs, text."""
        yield TabRow(self.look)
        yield ReadingView()

    @property
    def view(self) -> TextView:
        """The text."""
        return self.query_one(TextView)

    def show(self, layer: Layer | None) -> None:
        """Show a layer on the tab that is on."""
        if layer is not self.subject:
            self.place = dataclasses.replace(self.place, channel=0, y=0, x=0)
        self.subject = layer
        self.draw()

    def choose(self, tab: str) -> None:
        """Switch to a tab."""
        self.tab = tab
        self.draw()

    def step(self, direction: int) -> None:
        """Switch to the next or previous tab."""
        at = TAB_NAMES.index(self.tab)
        self.choose(TAB_NAMES[(at + direction) % len(TAB_NAMES)])

    def draw(self, *, keep_place: bool = False) -> None:
        """Draw the tab again."""
        row = self.query_one(TabRow)
        row.subject, row.current = self.subject, self.tab
        row.refresh()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        subject = self.subject
        if subject is None:
            self.view.show(lambda _: ())
        elif self.tab == TENSOR:
            self._draw_tensor(subject)
        else:
            self.view.show(lambda width: self._tab_lines(subject, width), keep_place=keep_place)

    def _tab_lines(self, layer: Layer, width: int) -> list[Text]:
        height = self.view.size.height
        view = View(self.session, layer, width, height, self.look, self.log_counts)
        try:
            return TABS[self.tab](view)
        except QdebugError as error:
            return self._sorry(error.message, width)
        except Exception as error:  # a tab that fails must not take the browser with it
            return self._sorry(f"this tab failed on this layer: {error!r}", width)

    def _sorry(self, message: str, width: int) -> list[Text]:
        return wrap(message, width, self.look.glyphs, self.look.palette.warn)

    # Kept tensors.

    def move_in_tensor(self, what: str, step: int) -> bool:
        """Another channel, sample, position or view of the tensor tab; False on another tab."""
        if self.tab != TENSOR or self.subject is None:
            return False
        if what == "view":
            self.place = dataclasses.replace(self.place, scatter=not self.place.scatter)
        else:
            value = getattr(self.place, what) + step
            self.place = dataclasses.replace(self.place, **{what: value})
        self.draw()
        return True

    def _draw_tensor(self, layer: Layer) -> None:
        if not layer.kept and layer.crop is None:
            text = (
                "The values of this layer were not kept. Compare again with --keep-tensors worst:20"
                " (or all) to look at them here. Layers with kept values: is found by kept:yes."
            )
            self.view.show(lambda width: self._sorry(text, width))
            return
        self.view.show(lambda _: [line(("reading the kept tensors", self.look.palette.dim))])
        self._reading = self._read(layer, self.place)

    @work(thread=True, exclusive=True, exit_on_error=False, group="tensor", description="tensor")
    def _read(self, layer: Layer, place: Place) -> None:
        worker = get_current_worker()
        found: Plane | Scatter | None = None
        problem = ""
        try:
            found = self._values(layer, place, lambda: worker.is_cancelled)
        except QdebugError as error:
            problem = error.message
        except (ValueError, IndexError, MemoryError) as error:
            problem = f"the kept tensors cannot be shown: {error}"
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show_tensor, found, problem, layer)

    def _values(
        self, layer: Layer, place: Place, cancelled: tensor.Cancelled
    ) -> Plane | Scatter | None:
        """Of the whole tensors where they were kept, else of the crop that every run has."""
        run = self.session.run
        if place.scatter:
            if not layer.kept:
                return tensor.read_crop_scatter(run, layer, _CROP_BINS)
            return tensor.read_scatter(run, layer, _BINS, cancelled)
        read = tensor.read_plane if layer.kept else tensor.read_crop_plane
        return read(run, layer, place)

    def _show_tensor(self, found: Plane | Scatter | None, problem: str, layer: Layer) -> None:
        if isinstance(found, Plane):
            self.place = found.place  # the reader has brought it into range

        def make(width: int) -> list[Text]:
            height = self.view.size.height
            if isinstance(found, Plane):
                return tensor.plane_lines(found, layer, width, height, self.look)
            if found is not None:
                return tensor.scatter_lines(found, width, height, self.look)
            return self._sorry(problem, width)

        self.view.show(make)
