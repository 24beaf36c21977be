"""Writes the tables of metrics into the pages while the site is built; a hook of ``mkdocs.yml``.

A page holds ``<!-- table: NAME -->`` where a table belongs, so that a new metric is described in
its own file and nowhere else.
"""

from __future__ import annotations

import re
from typing import Any

from qdebug.metrics.metric import METRICS
from qdebug.run.layer_fields import FIELDS


def with_tables(text: str) -> str:
    """A page with its tables."""
    return re.sub(r"<!-- table: ([a-z -]+?) -->", lambda match: _TABLES[match[1]](), text)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What mkdocs calls for every page."""
    return with_tables(markdown)


def _metrics() -> str:
    rows = [
        f"| `{m.name}` | {m.title} | {_cell(m.meaning)} | {_IDEAL[m.better]} |"
        for m in METRICS.values()
    ]
    return "\n".join(["| field | name | formula | better |", "|---|---|---|---|", *rows])


def _metric_fields() -> str:
    rows = [
        f"| {_words(name, 'accumulated')} | {_words(name, 'local')} | {_cell(metric.heading)} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join(["| accumulated | local | metric |", "|---|---|---|", *rows])


def _words(metric: str, part: str) -> str:
    (field,) = (f for f in FIELDS.values() if f.paths == (f"{part}.{metric}",))
    return ", ".join(f"`{word}`" for word in (field.name, *field.aliases))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_IDEAL = {"higher": "higher", "lower": "lower", "one": "near 1", "zero": "near 0"}
_TABLES = {"metrics": _metrics, "metric fields": _metric_fields}
