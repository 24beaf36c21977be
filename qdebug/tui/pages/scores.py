"""The scores screen: what each model scores on labelled data, and which pictures changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from qdebug.reporters.scores import CHANGED_HEADINGS, changed_row, headings, notes_of, rows_of
from qdebug.run.dataset_scores import DatasetResult
from qdebug.tui.context import Look, Session
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, grid, labelled, title
from qdebug.tui.markdown import table
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.text import visible
from qdebug.tui.textview import TextView
from qdebug.vocabulary.numbers import plural


class ScoresPage(RunPage):
    """One table a data set, and the changed pictures below it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("scores")]
    scopes: Sequence[str] = ("scores", "app")

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look, session, "scores")

    def compose(self) -> ComposeResult:
        """The text."""
        yield TextView()

    def entered(self) -> None:
        """Take the focus, so that the arrow keys scroll."""
        view = self.query_one(TextView)
        view.can_focus = True
        view.focus()
        self.redraw()

    def redraw(self) -> None:
        """Theme or size changed."""
        self.query_one(TextView).show(self._lines, keep_place=True)

    def status(self) -> str:
        """How many pictures were scored."""
        return plural(sum(result.pictures for result in self.session.run.datasets), "picture")

    def action_copy(self) -> None:
        """The tables as Markdown."""
        texts = [table(headings(r), rows_of(r)) for r in self.session.run.datasets]
        self.post_message(Copy("\n\n".join(texts) + "\n", "the scores"))

    def _lines(self, width: int) -> Sequence[Text]:
        return [
            line for result in self.session.run.datasets for line in self._result(result, width)
        ]

    def _result(self, result: DatasetResult, width: int) -> list[Text]:
        name = f"{result.name} ({result.form}), {plural(result.pictures, 'picture')}"
        lines = [title(visible(name, self.look.glyphs.ascii_only), width, self.look)]
        lines += labelled("read as", result.decoding, width, self.look)
        lines += [blank(), *grid(headings(result), rows_of(result), width, self.look), blank()]
        if len(result.rows) > 1:
            lines.append(title("Changed pictures, worst first", width, self.look))
            changed = [changed_row(item) for item in result.changed]
            lines += grid(CHANGED_HEADINGS, changed, width, self.look)
        for note in notes_of(result):
            lines += labelled("note", note, width, self.look)
        return lines
