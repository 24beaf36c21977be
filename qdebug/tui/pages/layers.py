"""The layers screen: where the error is, and everything about one layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from qdebug.run.filter import FilterError, while_typing
from qdebug.run.model import Layer
from qdebug.tui.context import PICK_WORDS, Look, Precision, Session
from qdebug.tui.detail.pane import DetailPane, TabRow
from qdebug.tui.filter_bar import FilterBar
from qdebug.tui.keys import bindings
from qdebug.tui.layer_list import SORTS
from qdebug.tui.layer_table import SORT_OF, LayerTable
from qdebug.tui.pages.layer_detail import DetailActions
from qdebug.tui.strip import ErrorStrip
from qdebug.tui.table import LineTable
from qdebug.tui.text import cut_middle
from qdebug.vocabulary.numbers import decibel

_WIDE = 110


class LayersPage(DetailActions):
    """Strip, list and detail; beside each other from 110 columns on, else one above the other."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("layers")]
    scopes: Sequence[str] = ("layers", "app")

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look, session, "layers")
        self._trail: list[int] = []
        self._before = ""
        self._asked: int | None = None

    def compose(self) -> ComposeResult:
        """Strip, filter, list, detail."""
        yield ErrorStrip(self.look, self.session)
        yield FilterBar(self.look, self.session)
        with Container(id="body"):
            yield LayerTable(self.look, self.rows)
            yield DetailPane(self.look, self.session)

    @property
    def table(self) -> LayerTable:
        """The list."""
        return self.query_one(LayerTable)

    def on_mount(self) -> None:
        """Begin where the verdict points."""
        first = self.rows.opening()
        if first is not None:
            self.go_to(first, remember=False)

    # Place.

    def go_to(self, index: int, *, remember: bool = True) -> None:
        """Put the cursor on a layer; a filter that hides it is cleared."""
        before = self.rows.current
        row = self.rows.go_to(index)
        if row is None and self.session.layer(index) is not None:
            self._show_all(index)
            row = self.rows.go_to(index)
        if row is None:
            return
        if remember and before is not None and before.index != index:
            self._trail.append(before.index)
        self._asked = index
        self.table.rows_changed()
        self.table.move_to(row, announce=False)
        self._moved()

    def _show_all(self, index: int) -> None:
        self.rows.only_marked = False
        self.rows.set_filter("")
        self.query_one(FilterBar).set_text("")
        self.notify(f"The filter hid layer {index}; it is cleared.", markup=False)

    def _moved(self) -> None:
        layer = self.rows.current
        self.detail.show(layer)
        if layer is not None:
            self.query_one(ErrorStrip).at(self.session.position[layer.index])
        self.post_message(self.Changed())

    def refresh_rows(self) -> None:
        """Show the rows as they are now; the cursor stays with its layer."""
        self.table.rows_changed()
        self.table.move_to(self.rows.row_of_current(), announce=False)
        self.table.refresh()
        self.detail.show(self._shown_layer())
        self.post_message(self.Changed())

    def _shown_layer(self) -> Layer | None:
        table = self.table
        return self.rows.layer_at(table.cursor) if table.row_count else None

    def entered(self) -> None:
        """Focus the list."""
        (self.detail.view if self.has_class("zoomed") else self.table).focus()

    def redraw(self) -> None:
        """Theme or size changed."""
        for widget in (self.query_one(ErrorStrip), self.table, self.query_one(TabRow)):
            widget.refresh()
        self.detail.draw(keep_place=True)

    def on_resize(self) -> None:
        """Choose the layout."""
        width, height = self.size
        wide = width >= _WIDE
        self.set_class(wide, "wide")
        self.set_class(not wide and height < 18, "short")
        strip = self.query_one(ErrorStrip)
        rows = len(strip.series)
        strip.styles.height = rows + 1 if height >= 30 else rows if height >= 18 else 1

    # Messages.

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        """Another layer."""
        event.stop()
        self.rows.go(event.table.cursor)
        self._moved()

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        """A double click opens the detail."""
        event.stop()
        self.action_zoom()

    def on_line_table_heading_clicked(self, event: LineTable.HeadingClicked) -> None:
        """A click on a heading sorts."""
        event.stop()
        field = SORT_OF.get(event.key, event.key)
        if field in {name for name, _, _ in SORTS}:
            self.rows.sort_by(field)
            self.refresh_rows()

    def on_error_strip_clicked(self, event: ErrorStrip.Clicked) -> None:
        """A click on the strip goes there."""
        event.stop()
        self.go_to(self.session.run.layers[event.place].index)

    def on_tab_row_clicked(self, event: TabRow.Clicked) -> None:
        """A click on a tab."""
        event.stop()
        self.detail.choose(event.tab)

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Filter as it is typed; what cannot be understood leaves the list as it is."""
        event.stop()
        self.filter(while_typing(event.text))

    def on_filter_bar_closed(self, event: FilterBar.Closed) -> None:
        """Typing ended."""
        event.stop()
        bar = self.query_one(FilterBar)
        self._set_filter(bar.input.value.strip() if event.kept else self._before)
        self.entered()

    def filter(self, text: str) -> None:
        """Filter by a text; of one that is wrong, say why and take the words that are right."""
        problem = None
        try:
            self.rows.set_filter(text)
        except FilterError as error:
            problem = error
            with suppress(FilterError):
                self.rows.set_filter(text[: error.start] + text[error.end :])
        self.query_one(FilterBar).complain(problem)
        self.refresh_rows()

    def _set_filter(self, text: str) -> None:
        self.query_one(FilterBar).set_text(text)
        self.filter(text)

    def show_query(self, text: str, index: int | None) -> None:
        """Show the layers of a filter, as another screen asks for."""
        self._set_filter(text)
        if index is not None:
            self.go_to(index)

    def status(self) -> str:
        """Shown of all, order, and what narrows the list."""
        layers = self.rows
        parts = [f"{layers.shown} of {layers.total}", layers.order_text()]
        parts += ["marked only"] if layers.only_marked else []
        parts += [f"by module, {layers.row_count} lines"] if layers.tree else []
        if layers.sample is not None:
            name = self.session.run.samples[layers.sample].name
            parts.append(f"sample {cut_middle(name, 16, self.look.glyphs)}")
        return f" {self.look.glyphs.dot} ".join(parts)

    # Keys.

    def action_open_filter(self) -> None:
        """Type a filter."""
        self._before = self.rows.filter.text
        self.query_one(FilterBar).open()

    def action_peel(self) -> None:
        """Take one layer of what is on away: the detail, the filter, the marks."""
        if self.has_class("zoomed"):
            self._zoom(False)
        elif self.detail.view.has_focus:
            self.table.focus()
        elif self.query_one(FilterBar).has_class("on"):
            self._set_filter("")
        elif self.rows.only_marked:
            self.action_only_marked()
        elif self.rows.sample is not None:
            self.rows.sample = None
            self._order_changed()

    def action_zoom(self) -> None:
        """Give the detail the whole screen; fold where the cursor is on a module."""
        if self.rows.module_at(self.table.cursor) is not None and not self.has_class("zoomed"):
            self.action_fold()
        else:
            self._zoom(not self.has_class("zoomed"))

    def _zoom(self, on: bool) -> None:
        self.set_class(on, "zoomed")
        self.entered()
        self.detail.draw(keep_place=True)

    def action_next_source(self, direction: int) -> None:
        """The next or previous source in the order shown."""
        row = self.rows.next_source(direction)
        if row is None:
            self.notify("No source among the layers shown.", markup=False)
        else:
            self.go_to(self.rows.layer_at(row).index)

    def action_first_source(self) -> None:
        """The first source in execution order."""
        index = self.rows.first_source()
        if index is None:
            self.notify("No source among the layers shown.", markup=False)
        else:
            self.go_to(index)

    def action_follow(self, direction: int) -> None:
        """The nearest compared layer up- or downstream."""
        layer = self.rows.current
        if layer is None:
            return
        near = layer.inputs if direction < 0 else layer.outputs
        known = [index for index in near if self.session.layer(index) is not None]
        if not known:
            self.notify("Nothing compared lies there.", markup=False)
            return
        if len(known) > 1:
            others = ", ".join(f"#{index}" for index in known[1:6])
            self.notify(f"There are others: {others}. The Graph tab shows them.", markup=False)
        self.go_to(known[0])

    def action_back(self) -> None:
        """Where the last jump began."""
        if self._trail:
            self.go_to(self._trail.pop(), remember=False)

    def action_sort_next(self) -> None:
        """Sort by the next column."""
        shown = {SORT_OF.get(c.key, c.key) for c in self.table.columns()}
        self.rows.sort_next(shown)
        self._order_changed()

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        self.rows.sort_by(self.rows.sort)
        self._order_changed()

    def action_sort_clear(self) -> None:
        """Execution order."""
        self.rows.sort, self.rows.reversed = "index", False
        self._order_changed()

    def _order_changed(self) -> None:
        self.rows.update()
        self.refresh_rows()

    def action_outline(self) -> None:
        """The outline, on and off."""
        self.rows.tree = not self.rows.tree
        self._order_changed()

    def action_fold(self) -> None:
        """Fold or unfold the module at the cursor."""
        self.rows.toggle_fold(self.table.cursor)
        self.refresh_rows()

    def action_fold_all(self) -> None:
        """Fold or unfold every module."""
        self.rows.toggle_all()
        self.refresh_rows()

    def action_mark(self) -> None:
        """Mark the layer and go on to the next one, or take the mark away."""
        layer = self.rows.current
        if layer is not None:
            self.session.marks ^= {layer.index}
            self._order_changed()
            if layer.index in self.session.marks:
                self.table.action_cursor_down()

    def action_only_marked(self) -> None:
        """Marked layers only, or all."""
        if not self.session.marks:
            self.notify("No layer is marked; m marks one.", markup=False)
            return
        self.rows.only_marked = not self.rows.only_marked
        self._order_changed()

    def action_sample(self, direction: int) -> None:
        """The next sample's accumulated error, after the last one that of all."""
        if self.detail.move_in_tensor("sample", direction) or not self.session.run.samples:
            return
        count = len(self.session.run.samples)
        now = -1 if self.rows.sample is None else self.rows.sample
        after = now + direction
        self.rows.sample = after if 0 <= after < count else None
        self._order_changed()

    def action_pick(self) -> None:
        """Put the layer on the keep list: float, 16 bits, off again."""
        layer = self.rows.current
        if layer is None:
            return
        after = self.session.cycle_picks([layer.index])
        self.table.refresh()
        self.detail.draw(keep_place=True)
        self.app.clear_notifications()
        self.notify(self._pick_text(layer, after), title=f"Layer {layer.index}", markup=False)
        self.post_message(self.Changed())

    def action_pick_shown(self) -> None:
        """Put every layer that the filter shows on the keep list, the same way."""
        if not self.query_one(FilterBar).has_class("on"):
            self.notify("Filter first: this is for the layers a filter shows.", markup=False)
            return
        shown = [self.session.run.layers[place].index for place in self.rows.rows]
        after = self.session.cycle_picks(shown)
        self.table.refresh()
        self.detail.draw(keep_place=True)
        self.app.clear_notifications()
        self.notify(f"{len(shown)} layers {PICK_WORDS[after]}. X shows the list.", markup=False)

    def _pick_text(self, layer: Layer, pick: Precision | None) -> str:
        """What is known about the effect; nothing is estimated here."""
        if pick is None:
            return "stays in 8 bits"
        text = "is on the list: float" if pick == "float" else "is on the list: 16 bits"
        if layer.sensitivity:
            value = self.look.glyphs.text(decibel(layer.sensitivity.sqnr_db))
            text += f". Quantizing it alone leaves {value} dB at the outputs"
        gains = [f for f in self.session.findings_of.get(layer.index, []) if f.gain_db is not None]
        if gains:
            best = max(gains, key=lambda f: f.gain_db or 0.0)
            text += f". {best.id} expects about {cast(float, best.gain_db):.1f} dB from its cure"
        return f"{text}. X shows the list"
