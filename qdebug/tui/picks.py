"""The screen of the keep list: layers to leave in float or give 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from qdebug.tui.context import Look, Session
from qdebug.tui.keep_list import FORMS, Form, known_effects, picked
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, line
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.tui.text import wrap
from qdebug.tui.textview import TextView
from qdebug.vocabulary.numbers import decibel, number

_UNKNOWN = (
    "sens: SQNR at the outputs with only this layer quantized. gain: what a finding expects from"
    " its cure. The effect of all together is not known from this run: rebuild and compare again."
)


@dataclass(frozen=True)
class Wish:
    """What to do with the list."""

    what: Literal["export", "copy"]
    form: Form


class PickTable(LineTable):
    """The layers on the list with what is known about each alone."""

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look)
        self.session = session
        self.picked = picked(session)

    @property
    def row_count(self) -> int:
        """Number of layers on the list."""
        return len(self.picked)

    def empty_text(self) -> str:
        """How to fill it."""
        return "the list is empty; x on a layer or a finding fills it"

    def columns(self) -> tuple[Column, ...]:
        """Precision, layer, sensitivity, expected gain."""
        return (
            Column("as", "as", 7),
            Column("#", "#", 6, 3, right=True),
            Column("name", "layer", 16, flexible=True),
            Column("sens", "sens dB", 8, 1, right=True),
            Column("gain", "gain dB", 8, 2, right=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a layer."""
        layer = self.picked[row]
        palette = self.look.palette
        if column.key == "sens":
            value = layer.sensitivity.sqnr_db if layer.sensitivity else None
            return decibel(value), palette.grade(value)
        if column.key == "gain":
            gains = [f.gain_db for f in self.session.findings_of.get(layer.index, []) if f.gain_db]
            return number(round(max(gains), 1) if gains else None), palette.text
        precision = "float" if self.session.picks[layer.index] == "float" else "16 bits"
        texts = {"as": precision, "#": str(layer.index), "name": layer.name}
        return texts[column.key], palette.bold if column.key == "as" else palette.text


class PicksScreen(ModalScreen[Wish | None]):
    """Shows the list and how a toolchain writes it; gives back what to do with that."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("picks")]
    DEFAULT_CSS = """
    PicksScreen { align: center middle; }
    PicksScreen > Vertical {
        width: 100%; max-width: 120; height: 94%; background: $surface; padding: 0 1;
    }
    PicksScreen PickTable { height: 2fr; min-height: 4; }
    PicksScreen TextView { height: 3fr; }
    """

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__()
        self.look = look
        self.session = session
        self.form = 0

    def compose(self) -> ComposeResult:
        """Heading, list, what is known of its effect and the text to take along, keys."""
        palette = self.look.palette
        with Vertical():
            yield Static(line(("To keep in float, or give 16 bits", palette.bold)))
            yield PickTable(self.look, self.session)
            yield TextView()
            keys = "x float/16   d off   v form   e write   y copy   J K scroll   Esc close"
            yield Static(line((keys, palette.accent)), markup=False)

    def on_mount(self) -> None:
        """Show what the list becomes."""
        self._draw()

    @property
    def _table(self) -> PickTable:
        return self.query_one(PickTable)

    def _draw(self) -> None:
        self.query_one(TextView).show(self._lines)

    def _lines(self, width: int) -> list[Text]:
        if not self._table.picked:
            return []
        palette, glyphs, form = self.look.palette, self.look.glyphs, FORMS[self.form]
        effects = known_effects(self.session)
        lines = [row for text in effects for row in wrap(text, width, glyphs, palette.good)]
        lines += [] if effects else wrap(_UNKNOWN, width, glyphs, palette.dim)
        place = f"{self.form + 1} of {len(FORMS)}"
        lines += [
            blank(),
            line((form.title, palette.bold), (f"   {place}, v for the next", palette.dim)),
        ]
        if not form.tells_precision and "int16" in self.session.picks.values():
            note = "This form does not tell 16 bits from float: all layers are written alike."
            lines += wrap(note, width, glyphs, palette.warn)
        text = form.write(self.session) or "None of these layers can be said in this form."
        return lines + [row for part in text.splitlines() for row in wrap(part, width, glyphs)]

    def action_kind(self) -> None:
        """Float or 16 bits."""
        if self._table.picked:
            index = self._table.picked[self._table.cursor].index
            now = self.session.picks[index]
            self.session.picks[index] = "int16" if now == "float" else "float"
            self._table.refresh()
            self._draw()

    def action_remove(self) -> None:
        """Take the layer off the list."""
        if self._table.picked:
            del self.session.picks[self._table.picked[self._table.cursor].index]
            self._table.picked = picked(self.session)
            self._table.rows_changed()
            self._draw()

    def action_form(self, step: int) -> None:
        """The words of another toolchain."""
        self.form = (self.form + step) % len(FORMS)
        self._draw()

    def action_scroll_detail(self, direction: int) -> None:
        """Scroll the text."""
        self.query_one(TextView).scroll_relative(y=3 * direction, animate=False)

    def action_export(self) -> None:
        """Ask where to write the list."""
        self.dismiss(Wish("export", FORMS[self.form]))

    def action_copy(self) -> None:
        """Copy the list."""
        self.dismiss(Wish("copy", FORMS[self.form]))
