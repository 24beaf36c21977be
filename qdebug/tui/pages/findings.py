"""The findings screen: ranked, with evidence and advice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from qdebug.run.gates import gate_of
from qdebug.run.model import Finding
from qdebug.tui.context import PICK_WORDS, Look, Session
from qdebug.tui.evidence import evidence_lines
from qdebug.tui.finding_list import FindingTable
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, finding_lines, line
from qdebug.tui.markdown import finding_markdown
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.table import LineTable
from qdebug.tui.text import cut_middle
from qdebug.tui.textview import TextView
from qdebug.vocabulary.numbers import plural

_NAMED = 12


class FindingsPage(RunPage):
    """List at the left, the finding at the right; one above the other where it is narrow."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("findings")]
    scopes: Sequence[str] = ("findings", "app")

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look, session, "findings")

    def compose(self) -> ComposeResult:
        """List and text."""
        with Container(id="body"):
            yield FindingTable(self.look, self.session.run.findings)
            yield TextView()

    @property
    def table(self) -> FindingTable:
        """The list."""
        return self.query_one(FindingTable)

    def entered(self) -> None:
        """Focus the list."""
        self.table.focus()

    def on_mount(self) -> None:
        """Show the first finding."""
        self._draw()

    def redraw(self) -> None:
        """Theme or size changed."""
        self.table.refresh()
        self._draw(keep_place=True)

    def on_resize(self) -> None:
        """Choose the layout."""
        self.set_class(self.size.width >= 100, "wide")

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        """Another finding."""
        event.stop()
        self._draw()

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        """A double click goes to the layers."""
        event.stop()
        self.action_jump()

    def select(self, slug: str) -> None:
        """Put the cursor on a finding."""
        for row, item in enumerate(self.table.lines):
            if item.finding is not None and item.finding.slug == slug:
                self.table.move_to(row)

    def status(self) -> str:
        """Counts by status."""
        counts: dict[str, int] = {}
        for finding in self.session.run.findings:
            counts[finding.status] = counts.get(finding.status, 0) + 1
        words = {"fail": "failed", "warn": "warned", "pass": "passed", "not_applicable": "n/a"}
        parts = [f"{counts[s]} {word}" for s, word in words.items() if s in counts]
        return f" {self.look.glyphs.dot} ".join(parts)

    def _draw(self, *, keep_place: bool = False) -> None:
        view = self.query_one(TextView)
        item = self.table.current
        if item is None:
            view.show(lambda _: ())
        elif item.finding is None:
            view.show(lambda _: [line(("Enter folds and unfolds", self.look.palette.dim))])
        else:
            view.show(partial(self._finding, item.finding), keep_place=keep_place)

    def _finding(self, finding: Finding, width: int) -> list[Text]:
        lines = finding_lines(finding, width, self.look)
        named = [x for x in map(self.session.layer, finding.layers) if x is not None]
        for layer in named[:_NAMED]:
            name = cut_middle(layer.name, max(width - 24, 10), self.look.glyphs)
            row = line(("layer ", self.look.palette.dim), f"#{layer.index} {name} {layer.op}")
            lines.append(row)
        if len(named) > _NAMED:
            lines.append(line((f"and {len(named) - _NAMED} more layers", self.look.palette.dim)))
        for item in finding.evidence:
            lines += evidence_lines(item, width, self.look, self.session.run.files)
        return [*lines, blank()]

    def action_jump(self) -> None:
        """To the layers the finding names; on a heading, fold or unfold."""
        item = self.table.current
        if item is None or item.finding is None:
            self.action_fold()
        elif gate_of(item.finding) == "input":
            self.post_message(self.ShowInput())
        elif item.finding.layers:
            first = item.finding.layers[0]
            query = f"finding:{item.finding.slug}" if len(item.finding.layers) > 1 else None
            self.post_message(self.Jump(first, query))
        else:
            self.notify("This finding names no layer.", markup=False)

    def action_fold(self) -> None:
        """Fold or unfold the group under the cursor."""
        item = self.table.current
        if item is not None and item.finding is None:
            self.table.toggle(item.group)
            self._draw()

    def action_scroll_detail(self, direction: int) -> None:
        """Scroll the evidence."""
        self.query_one(TextView).scroll_relative(y=3 * direction, animate=False)

    def action_pick(self) -> None:
        """Put the layers it names on the keep list: float, 16 bits, off again."""
        finding = self.table.current.finding if self.table.current else None
        named = [i for i in (finding.layers if finding else ()) if self.session.layer(i)]
        if not named:
            self.notify("There is no layer to keep here.", markup=False)
            return
        words = PICK_WORDS[self.session.cycle_picks(named)]
        self.app.clear_notifications()
        self.notify(f"{plural(len(named), 'layer')} {words}. X shows the list.", markup=False)

    def action_copy(self) -> None:
        """The finding as Markdown."""
        item = self.table.current
        if item is not None and item.finding is not None:
            layers = {i: x for i in item.finding.layers if (x := self.session.layer(i))}
            self.post_message(
                Copy(finding_markdown(item.finding, layers), f"finding {item.finding.id}")
            )
