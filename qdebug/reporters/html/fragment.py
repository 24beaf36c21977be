"""A run in a notebook: verdict, findings and the worst layers, without scripts or pictures."""

from __future__ import annotations

from qdebug.reporters.html.page import Row, environment, finding_counts
from qdebug.reporters.ranking import glyph, named_layers, seen_findings, worst_first
from qdebug.run.model import Run
from qdebug.run.outcome import outcome_of
from qdebug.run.standing import sqnr_limit

_ROWS = 20


def render_fragment(run: Run) -> str:
    """The fragment, fit for ``Run._repr_html_``."""
    limit, named = sqnr_limit(run), named_layers(run)
    rows = [Row(layer, glyph(layer, limit, named), False) for layer in worst_first(run)[:_ROWS]]
    fragment: str = (
        environment()
        .get_template("notebook.html")
        .render(
            run=run,
            outcome=outcome_of(run),
            verdict_word=run.verdict.status.upper(),
            counts=finding_counts(run),
            seen=seen_findings(run),
            rows=rows,
        )
    )
    return fragment
