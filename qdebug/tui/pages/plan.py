"""The plan screen: how the quantized model was tuned, with switches that foretell other plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Static

from qdebug.reporters import heights
from qdebug.reporters.tuning import (
    CURE_HEADINGS,
    METHOD_HEADINGS,
    basis,
    cure_facts,
    cure_row,
    method_row,
    methods_shown,
)
from qdebug.run.draft import Draft
from qdebug.run.tuning import CurvePoint, Tuning
from qdebug.tui import charts
from qdebug.tui.context import Look, Session
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, grid, labelled, line, status_glyph, title
from qdebug.tui.markdown import table
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.plan_table import PlanTable
from qdebug.tui.text import wrap
from qdebug.tui.textview import ReadingView
from qdebug.vocabulary.numbers import decibel, percent, plural

_BAR = 20


class PlanPage(RunPage):
    """Verdict, cures, the curve of quality against cost, and the ways to choose ranges.

    Where the record holds the units, cures and units are switched in a list above the text, and
    what the plan would cost then is foretold at once.
    """

    DEFAULT_CSS = """
    PlanPage Static { height: auto; padding: 0 1; }
    PlanPage PlanTable { height: 2fr; }
    PlanPage ReadingView { height: 3fr; }
    """

    class Apply(Message):
        """Write the model of a plan."""

        def __init__(self, draft: Draft) -> None:
            super().__init__()
            self.draft = draft

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("plan")]
    scopes: Sequence[str] = ("plan", "app")

    def __init__(self, look: Look, session: Session, tuning: Tuning) -> None:
        super().__init__(look, session, "plan")
        self.tuning = tuning
        self.draft = Draft(tuning)
        self.table = PlanTable(look, self.draft) if tuning.units else None

    def compose(self) -> ComposeResult:
        """The list of switches, and the text."""
        if self.table is not None:
            yield Static()
            yield self.table
        yield ReadingView()

    def entered(self) -> None:
        """Take the focus, so that the arrow keys move."""
        (self.table or self.query_one(ReadingView)).focus()
        self.redraw()

    def redraw(self) -> None:
        """Theme or size changed."""
        if self.table is not None:
            self.query_one(Static).update(self._foretold())
            self.table.rows_changed()
        self.query_one(ReadingView).show(self._lines, keep_place=True)

    def action_switch(self) -> None:
        """Switch what the cursor is on."""
        if self.table is None:
            self.notify("the record holds no units to switch", markup=False)
        elif why := self.table.switch():
            self.notify(why, markup=False)
        self.redraw()

    def action_reset(self) -> None:
        """Back to the plan of the record."""
        if self.table is not None:
            self.table.reset()
            self.redraw()

    def action_apply(self) -> None:
        """Write the model of the plan."""
        if self.table is None:
            self.notify("the record holds no units to switch", markup=False)
        elif not self.draft.is_changed:
            self.notify("nothing is switched: the repaired model is this plan", markup=False)
        else:
            self.post_message(self.Apply(self.draft))

    def action_scroll_detail(self, direction: int) -> None:
        """Scroll the text."""
        self.query_one(ReadingView).scroll_relative(y=3 * direction, animate=False)

    def _foretold(self) -> Text:
        """What the plan costs as it is switched, beside what was measured."""
        tuning, draft, palette = self.tuning, self.draft, self.look.palette
        dot = self.look.glyphs.dot
        style = palette.accent if draft.is_changed else palette.text
        head = "Foretold" if draft.is_changed else "As proven"
        facts = [
            f"loss {draft.loss:.2e} predicted",
            f"{tuning.tuned.loss:.2e} measured for the proven plan",
            f"{tuning.given.loss:.2e} as given",
            f"{plural(len(draft.wide), 'unit')} at more bits, {percent(draft.macs)} of the MACs",
        ]
        rest = f" {dot} ".join(["", *facts[1:]])
        return line((f"{head}: ", palette.bold), (facts[0], style), rest)

    def status(self) -> str:
        """How much was done."""
        done = sum(cure.accepted for cure in self.tuning.cures)
        return f"{done} of {plural(len(self.tuning.cures), 'cure')} accepted"

    def action_copy(self) -> None:
        """The tables as Markdown."""
        tuning = self.tuning
        texts = [
            table([*CURE_HEADINGS, tuning.task or "task"], [cure_row(x) for x in tuning.cures]),
            table(METHOD_HEADINGS, [method_row(x) for x in methods_shown(tuning)]),
        ]
        self.post_message(Copy("\n\n".join(texts) + "\n", "the plan"))

    def _lines(self, width: int) -> Sequence[Text]:
        tuning, look = self.tuning, self.look
        lines = wrap(tuning.verdict, width, look.glyphs, look.palette.bold)
        for fact in basis(tuning):
            lines += labelled("", fact, width, look, indent=2)
        lines += self._cures(width)
        lines += self._curve(width)
        if tuning.methods:
            lines += [blank(), title("Ways to choose ranges, by predicted loss", width, look)]
            rows = [method_row(method) for method in methods_shown(tuning)]
            lines += grid(METHOD_HEADINGS, rows, width, look)
        lines += [blank()] if tuning.notes or tuning.files else []
        for note in tuning.notes:
            lines += labelled("note", note, width, look)
        for kind, file in (tuning.files or {}).items():
            lines += labelled("written", f"{kind}: {file}", width, look)
        return lines

    def _cures(self, width: int) -> list[Text]:
        tuning, look = self.tuning, self.look
        lines = [blank(), title("Cures, in the order in which they were tried", width, look)]
        if not tuning.cures:
            return [*lines, line(("none", look.palette.dim))]
        for cure in tuning.cures:
            status = "pass" if cure.accepted else "not_applicable"
            glyph, style = status_glyph(status, look)
            told, *facts = (look.glyphs.text(fact) for fact in cure_facts(cure, tuning.task))
            lines += labelled(f"  {glyph}", told, width, look, style, indent=4)
            lines += labelled("", f" {look.glyphs.dot} ".join(facts), width, look, indent=4)
        return lines

    def _curve(self, width: int) -> list[Text]:
        """A line a point: what it costs, what it measures, and the error as a bar."""
        tuning, look = self.tuning, self.look
        if not tuning.curve:
            return []
        told = "Error against units at more bits, longer is worse"
        lines = [blank(), title(told, width, look)]
        head = f"{'units':>5}  {'MACs':>7}  {'SQNR dB':>7}  {'':{_BAR}}  {tuning.task[:8]:>8}"
        lines.append(line((f"  {head}  ranked by", look.palette.dim)))
        lines += [self._point(point) for point in tuning.curve]
        given, best = (decibel(x.sqnr_db) for x in (tuning.given, tuning.ceiling))
        lines += labelled("", f"given {given} dB, 16-bit ceiling {best} dB", width, look, indent=2)
        return lines

    def _point(self, point: CurvePoint) -> Text:
        look, measured = self.look, point.measured
        level = heights.error_level(measured.sqnr_db)
        mark = look.glyphs.marked if point.chosen else " "
        cost = f"{point.added:>5}  {percent(point.macs):>7}"
        row = line((f"{mark} ", look.palette.accent), f"{cost}  {decibel(measured.sqnr_db):>7}  ")
        row.append_text(charts.bar(level, _BAR, look, charts.level_style(level, look)))
        task = "" if measured.task is None else f"{measured.task:.3f}"
        return row.append(f"  {task:>8}  {point.order}", look.palette.dim)
