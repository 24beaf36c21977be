"""What every screen of the browser is: a body between the verdict bar and the keys."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import Vertical
from textual.message import Message

from qdebug.tui.context import Look, Session


class Page(Vertical):
    """A screen.

    Attributes:
        scopes: key scopes whose keys the footer offers here.
    """

    DEFAULT_CSS = "Page { height: 1fr; }"
    scopes: Sequence[str] = ()

    class Changed(Message):
        """Something that the bars show has changed."""

    class Jump(Message):
        """Go to layers on the layers screen: one by its index, or those a filter finds."""

        def __init__(self, layer: int | None, query: str | None = None) -> None:
            super().__init__()
            self.layer = layer
            self.query = query

    class ShowInput(Message):
        """Go to the input screen."""

    class Leave(Message):
        """Go back to the layers."""

    def __init__(self, look: Look, id: str) -> None:
        super().__init__(id=id)
        self.look = look

    def status(self) -> str:
        """What the right end of the footer says: what is shown and what is hidden."""
        return ""

    def entered(self) -> None:
        """The screen is shown now: take the focus."""

    def redraw(self) -> None:
        """Draw everything again: theme, size or data changed."""
        self.refresh(recompose=False)

    def action_peel(self) -> None:
        """Back to the layers."""
        self.post_message(self.Leave())


class RunPage(Page):
    """A screen on an open run."""

    def __init__(self, look: Look, session: Session, id: str) -> None:
        super().__init__(look, id)
        self.session = session


class Copy(Message, bubble=True):
    """Put a text on the clipboard and say what it was."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what
