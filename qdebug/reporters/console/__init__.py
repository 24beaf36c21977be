"""The console summary: what was understood, the verdict, where error enters, what to do.

Reads a ``Run`` and nothing else; equal runs give equal text. Whether an SQNR is accumulated, local
or a sensitivity is always said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from qdebug.reporters.base import Reporter
from qdebug.reporters.console import chart, datasets, findings, head, layers, unmatched, verdict
from qdebug.reporters.console.look import Look, join
from qdebug.run.model import Run

__all__ = [
    "REPORTER",
    "ConsoleReporter",
    "Look",
    "Options",
    "render",
    "render_layers",
    "render_unmatched",
]


@dataclass(frozen=True)
class Options:
    """What to show beside the run itself.

    Attributes:
        quiet: verdict and findings only.
        verbose: also findings that passed or did not apply, notes, and more layers.
        written: lines on what was written.
        next_commands: what to type next.
    """

    quiet: bool = False
    verbose: bool = False
    written: Sequence[str] = ()
    next_commands: Sequence[str] = ()


def render(run: Run, look: Look, options: Options | None = None) -> Text:
    """The summary of a run, ending in a newline."""
    chosen = options or Options()
    sections: list[list[Text]] = []
    if not chosen.quiet:
        sections.append(head.section(run, look, chosen.verbose))
    sections.append(verdict.section(run, look))
    sections.append(datasets.section(run, look, chosen.verbose))
    if not chosen.quiet:
        sections.append(chart.section(run, look))
        sections.append(layers.section(run, look, chosen.verbose))
    sections.append(findings.section(run, look, chosen.verbose))
    if not chosen.quiet:
        sections.append(_end(look, chosen))
    return join(sections)


def render_unmatched(run: Run, look: Look) -> Text:
    """The tensors without a counterpart, by reason."""
    return join([unmatched.section(run, look)])


def render_layers(run: Run, words: str, look: Look) -> Text:
    """The layers that a filter (``qdebug.run.filter``) finds.

    Raises:
        FilterError: the filter is not understood.
    """
    return join([layers.matching(run, words, look)])


class ConsoleReporter(Reporter):
    """The summary as plain text, as it looks on a wide terminal without colours."""

    suffixes = (".txt",)

    def render(self, run: Run) -> str:
        """The whole summary, findings that passed included."""
        return render(run, Look(width=100), Options(verbose=True)).plain


REPORTER = ConsoleReporter()


def _end(look: Look, options: Options) -> list[Text]:
    rows = [("Wrote", line) for line in options.written]
    rows += [("Next", line) for line in options.next_commands]
    lines: list[Text] = []
    previous = ""
    for label, value in rows:
        lead = label if label != previous else ""
        lines += look.hanging(f"{lead:<7}", value, lead_style="dim", breaks=False)
        previous = label
    return lines
