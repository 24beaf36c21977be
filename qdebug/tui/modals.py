"""Screens over the screen: texts to read, a path to write to, the keep list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from qdebug.reporters.reproduce import explained_metrics
from qdebug.run.model import Run
from qdebug.tui.context import Look
from qdebug.tui.keys import KEYS, SCOPES, bindings, spoken
from qdebug.tui.lines import blank, line
from qdebug.tui.text import wrap
from qdebug.tui.textview import ReadingView, TextView


class TextScreen(ModalScreen[None]):
    """A text to read: help, formulas, how the run was made."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("text")]
    DEFAULT_CSS = """
    TextScreen { align: center middle; }
    TextScreen > Vertical {
        width: 90%; max-width: 110; height: 90%; background: $surface; padding: 1 2;
    }
    TextScreen TextView { height: 1fr; }
    """

    def __init__(self, look: Look, heading: str, make: Callable[[int], Sequence[Text]]) -> None:
        super().__init__()
        self.look = look
        self.heading = heading
        self.make = make

    def compose(self) -> ComposeResult:
        """Heading and text."""
        with Vertical():
            yield Static(line((self.heading, self.look.palette.bold), " (Esc closes)"))
            yield ReadingView()

    def on_mount(self) -> None:
        """Show the text."""
        self.query_one(TextView).show(self.make)

    def action_scroll_down(self) -> None:
        """Some lines down."""
        self.query_one(TextView).scroll_relative(y=3, animate=False)

    def action_scroll_up(self) -> None:
        """Some lines up."""
        self.query_one(TextView).scroll_relative(y=-3, animate=False)

    def action_page_down(self) -> None:
        """A page down."""
        self.query_one(TextView).scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """A page up."""
        self.query_one(TextView).scroll_page_up(animate=False)


class PathPrompt(ModalScreen[str | None]):
    """Asks where to write a file; Enter writes, Esc does not."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "cancel", "cancel")]
    DEFAULT_CSS = """
    PathPrompt { align: center bottom; }
    PathPrompt > Vertical { height: auto; background: $panel; padding: 0 1; }
    PathPrompt Input, PathPrompt Input:focus {
        border: none; height: 1; padding: 0; background: $surface;
    }
    """

    def __init__(self, question: str, suggestion: str) -> None:
        super().__init__()
        self.question = question
        self.suggestion = suggestion

    def compose(self) -> ComposeResult:
        """The question and a line to answer on."""
        with Vertical():
            yield Static(line(self.question))
            yield Input(self.suggestion, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the path."""
        self.dismiss(event.value.strip() or None)

    def action_cancel(self) -> None:
        """Write nothing."""
        self.dismiss(None)


def help_lines(
    keymap: Mapping[str, str], look: Look, scopes: Sequence[str], width: int
) -> list[Text]:
    """Every key, with its name for the settings where there is room, and every sign.

    The keys of the screen that is on come first.
    """
    order = [*scopes, *(scope for scope in SCOPES if scope not in scopes)]
    lines: list[Text] = []
    for scope in order:
        keys = [key for key in KEYS if key.scope == scope]
        lines += [blank(), line((SCOPES[scope], look.palette.bold))]
        for key in keys:
            bound = spoken(keymap.get(key.id, key.keys))
            row = line((f"  {bound:<17}", look.palette.accent), f"{key.about:<58}")
            if row.cell_len + len(key.id) <= width:
                row.append(key.id, look.palette.dim)
            lines.append(row)
    return [*lines[1:], blank(), *_legend(look)]


def _legend(look: Look) -> list[Text]:
    glyphs = look.glyphs
    meanings = (
        (glyphs.source, "source: the layer's own (local) error is large"),
        (glyphs.victim, "victim: only its accumulated error is large"),
        (glyphs.broken, "zero or not finite on one side only"),
        (glyphs.not_compared, "not compared"),
        (glyphs.fail, "named by a finding that failed, or by a check that crashed"),
        (glyphs.warn, "named by a finding that warns"),
        (glyphs.info, "named by a note"),
        (glyphs.passed, "a check that passed"),
        (glyphs.dot, "a check that does not apply, or was not made"),
        (f"{glyphs.folded} {glyphs.unfolded}", "folded, unfolded"),
        (glyphs.pointer, "the cursor's place under the network; a mark under a histogram"),
        (glyphs.marked, "marked"),
        ("F / H", "on the list: float / 16 bits"),
        (glyphs.levels[1:], "error, taller is worse in every chart: empty at 50 dB, full at 0 dB"),
        (glyphs.bar, "an error in a list, longer is worse, on the same scale"),
        (glyphs.shades[1:], "brighter is more, in a heat map or scatter"),
    )
    rows = [line((f"  {mark:<17}", look.palette.bad), about) for mark, about in meanings]
    return [line(("Signs", look.palette.bold)), *rows]


_FORMULAS = """\
f is a value of the float run, q the one of the quant run, e = q - f, over all elements of all \
samples, in float64.

accumulated   float run against quant run at this tensor: everything upstream counts
local         the quant layer fed with the float run's inputs: what this layer adds by itself
sensitivity   only this layer quantized, at the model's outputs

{metrics}
clipped       share of the float values outside the range that the codes can represent
codes used    different codes seen, of those the data type offers

source        a layer whose local error is large
victim        a layer whose accumulated error is large, but whose local error is small

Bars of error are empty at 50 dB and full at 0 dB, in every run."""


def formula_lines(run: Run, width: int, look: Look) -> list[Text]:
    """The formulas behind the numbers; a metric that the run does not have says so."""
    metrics = "\n".join(f"{m.short:<13}  {told}" for m, told in explained_metrics(run))
    lines: list[Text] = []
    for row in _FORMULAS.replace("{metrics}", metrics).split("\n"):
        name, gap, rest = row.partition("  ")
        if not gap:
            lines += wrap(row, width, look.glyphs)
            continue
        wrapped = wrap(rest.strip(), max(width - 14, 20), look.glyphs)
        for number, part in enumerate(wrapped):
            head = line((f"{name if number == 0 else '':<14}", look.palette.accent))
            lines.append(head.append_text(part))
    return lines
