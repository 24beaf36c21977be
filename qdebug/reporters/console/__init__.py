"""The console summary: what came of it, why, what to do, where; verbose, everything there is.

Reads a ``Run`` and nothing else; equal runs give equal text. Whether an SQNR is accumulated, local
or a sensitivity is always said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from qdebug.reporters.base import Reporter
from qdebug.reporters.console import (
    chart,
    datasets,
    findings,
    head,
    layers,
    outcome,
    tuning,
    unmatched,
    verdict,
)
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
        quiet: the outcome, why, and the other findings in brief.
        verbose: everything: models, outputs beside their limits, the chart, layers, all findings.
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
    end = [] if chosen.quiet else _end(look, chosen)
    scores = datasets.section(run, look, chosen.verbose)
    tuned = tuning.section(run, look, chosen.verbose)
    if not chosen.verbose:
        if chosen.quiet:
            told = [*outcome.why(run, look), *outcome.others(run, look)]
            return join([tuned, outcome.headline(run, look), scores, told])
        return join([tuned, *outcome.summary(run, look, scores, end)])
    return join(
        [
            tuned,
            outcome.headline(run, look),
            outcome.why(run, look),
            head.section(run, look),
            verdict.section(run, look),
            scores,
            chart.section(run, look),
            layers.section(run, look),
            findings.section(run, look),
            end,
        ]
    )


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
