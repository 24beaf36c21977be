"""The report on the ticket: one HTML file, offline, readable without JavaScript."""

from __future__ import annotations

from qdebug.reporters.base import Reporter
from qdebug.run.model import Run


class HtmlReporter(Reporter):
    """A single page with the verdict, its evidence and the run itself."""

    suffixes = (".html", ".htm")

    def render(self, run: Run) -> str:
        """The page, 2 MB at most as long as the page without the run is smaller."""
        from qdebug.reporters.html.page import render_page

        return render_page(run)


class NotebookReporter(Reporter):
    """Verdict, findings and the worst layers, as a fragment for a notebook's output cell."""

    def render(self, run: Run) -> str:
        """The fragment; it has neither scripts nor pictures."""
        from qdebug.reporters.html.fragment import render_fragment

        return render_fragment(run)


html = HtmlReporter()
notebook = NotebookReporter()
