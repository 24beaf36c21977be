"""Puts the page together: what the templates read, and the size it may have."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.reporters import text
from qdebug.reporters import tuning as tuning_rows
from qdebug.reporters.board import board_db, has_board
from qdebug.reporters.html import modules, network, tuning
from qdebug.reporters.html.cards import Card, build_cards
from qdebug.reporters.html.crops import crop_figure
from qdebug.reporters.html.embed import OMITTED, Embedded, embed
from qdebug.reporters.html.evidence import evidence_html, table
from qdebug.reporters.html.input_check import input_check
from qdebug.reporters.html.pictures import Pictures
from qdebug.reporters.html.samples import sample_matrix
from qdebug.reporters.html.vocabulary_script import vocabulary_script
from qdebug.reporters.markup import markdown_to_html
from qdebug.reporters.ranking import (
    findings_with,
    first_bad,
    glyph,
    named_layers,
    seen_findings,
    worst_first,
)
from qdebug.reporters.reproduce import (
    DEFINITIONS,
    explained_metrics,
    reproduce_facts,
    shell_command,
)
from qdebug.reporters.scores import CHANGED_HEADINGS, changed_row, headings, notes_of, rows_of
from qdebug.run.gates import GateState, gate_states, input_failed
from qdebug.run.model import Finding, Layer, OutputResult, Run
from qdebug.run.outcome import outcome_of
from qdebug.run.pages import explanation_of
from qdebug.run.standing import output_channel, sqnr_limit, standing
from qdebug.vocabulary import numbers, states
from qdebug.vocabulary.names import visible

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_BYTES = 2_000_000
"""A report larger than this leaves out parts of the embedded run."""
STATIC_ROWS = 50
"""Rows of the layer table without JavaScript."""


MARK_CLASSES = {"✗": "bad", "!": "warn"}
"""Classes that colour a layer's mark."""


@dataclass(frozen=True)
class Row:
    """One row of the layer table."""

    layer: Layer
    mark: tuple[str, str]
    has_card: bool


def render_page(run: Run, max_bytes: int = MAX_BYTES) -> str:
    """The whole page, with as much of the run embedded as fits into ``max_bytes``."""
    arrays = run.arrays
    pictures = Pictures(run.files)
    cards = build_cards(run, arrays, pictures)
    title = f"{run.verdict.status.upper()} {run.models.quant.file}: qdebug report"
    body = _template("page.html").render(**_context(run, cards, pictures))
    definitions = Markup("").join(picture.definition for picture in pictures.shown.values())
    shown = [picture.file for picture in pictures.shown.values() if picture.file]
    finish = functools.partial(_finish, title, body, definitions)
    room = max_bytes - len(finish(Embedded("", "", OMITTED)).encode())
    with_card = {card.layer.index for card in cards}
    return finish(embed(run, arrays, with_card, shown, room))


def _finish(title: str, body: str, definitions: Markup, embedded: Embedded) -> str:
    page: str = _template("shell.html").render(
        title=title,
        body=Markup(body),
        pictures=definitions,
        embedded=embedded,
        files=Markup(embedded.files.replace("<", "\\u003c")),
        style=asset("style.css"),
        scripts=scripts(),
        policy=content_policy(scripts()),
    )
    return page


def _context(run: Run, cards: list[Card], pictures: Pictures) -> dict[str, Any]:
    limit, named, ranked = sqnr_limit(run), named_layers(run), worst_first(run)
    with_card = {card.layer.index for card in cards}
    rows = [
        Row(layer, glyph(layer, limit, named), layer.index in with_card)
        for layer in ranked[:STATIC_ROWS]
    ]
    return {
        "run": run,
        "outcome": outcome_of(run),
        "verdict_word": run.verdict.status.upper(),
        "outputs": sorted(run.outputs, key=_output_rank),
        "seen": seen_findings(run),
        "folded": (
            (findings_with(run, "info"), "Notes"),
            (findings_with(run, "pass"), "Passed checks"),
            (findings_with(run, "not_applicable"), "Not applicable"),
        ),
        "anchor": _anchors(run),
        "task_numbers": _task_numbers(run),
        "task_table": _task_table(run),
        "input_stats": _input_stats(run),
        "counts": finding_counts(run),
        "gate_state": gate_state,
        "gates": gate_states(run),
        "input_failed": input_failed,
        "first_bad": first_bad(run),
        "limit": limit,
        "input": input_check(run, pictures),
        "tuning": run.tuning,
        "tuning_curves": tuning.curve_figures(run.tuning) if run.tuning else [],
        "tuning_rows": tuning_rows,
        "network": network.network_figure(run) if run.layers else None,
        "picture": modules.network_picture(run, with_card) if run.layers else None,
        "legend": modules.legend(),
        "entering": [
            (layer, named[layer.index][1] if layer.index in named else None)
            for layer in ranked
            if layer.index in named or layer.role == "source"
        ][:12],
        "has_sensitivity": any(layer.sensitivity for layer in run.layers),
        "has_board": has_board(run),
        "rows": rows,
        "cards": cards,
        "with_card": with_card,
        "matrix": sample_matrix(run),
        "facts": reproduce_facts(run),
        "command": shell_command(run.command),
        "formulas": explained_metrics(run),
        "lead": LEAD,
        "metrics": METRICS,
        "definitions": DEFINITIONS,
        "scores_table": lambda result: table(headings(result), rows_of(result)),
        "changed_table": lambda result: table(
            CHANGED_HEADINGS, [changed_row(item) for item in result.changed]
        ),
        "notes_of": notes_of,
        "evidence": lambda item: evidence_html(item, pictures),
        "crop_of": lambda finding: _crop_of(run, finding, pictures),
    }


def _crop_of(run: Run, finding: Finding, pictures: Pictures) -> tuple[Layer, Markup] | None:
    """Of the layers of a failed finding, the first whose values the run keeps, and their figure."""
    if finding.status != "fail":
        return None
    named = (run.layers[at] for at in finding.layers if 0 <= at < len(run.layers))
    layer = next((layer for layer in named if layer.crop is not None), None)
    figure = crop_figure(run, layer, pictures) if layer is not None else None
    return (layer, figure) if layer is not None and figure is not None else None


def _anchors(run: Run) -> Callable[[Finding], str]:
    """Ids of the findings' elements; a check that found several things gets numbers."""
    anchors: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for finding in run.findings:
        taken[finding.id] += 1
        number = taken[finding.id]
        anchors[id(finding)] = finding.id if number == 1 else f"{finding.id}-{number}"
    return lambda finding: anchors[id(finding)]


def _output_rank(output: OutputResult) -> tuple[bool, float]:
    value = text.accumulated_db(output)
    return value is None, -math.inf if value is None or math.isnan(value) else value


def gate_state(state: GateState) -> str:
    """The state of a gate as mark and words."""
    return f"{states.STATUS_GLYPHS[state.status]} {states.STATUS_WORDS[state.status]}"


def _task_table(run: Run) -> Markup | None:
    if run.task is None or not run.task.per_sample:
        return None
    columns = list(dict.fromkeys(key for row in run.task.per_sample for key in row))
    return table(columns, [[row.get(key) for key in columns] for row in run.task.per_sample])


def _task_numbers(run: Run) -> Markup | None:
    """The numbers of the task: one row for the declared simulation, one for the deployed models."""
    if run.task is None or not run.task.numbers:
        return None
    numbers, prefix = run.task.numbers, "deployed_"
    names = [name for name in numbers if not name.startswith(prefix)]
    names += [name[len(prefix) :] for name in numbers if name.startswith(prefix)]
    columns = list(dict.fromkeys(names))
    rows: list[list[object]] = [["declared simulation", *(numbers.get(name) for name in columns)]]
    if any(name.startswith(prefix) for name in numbers):
        rows.append(["as deployed", *(numbers.get(prefix + name) for name in columns)])
    return table(["", *columns], rows)


def _input_stats(run: Run) -> Markup | None:
    rows: list[list[object]] = [
        [sample.name, i.name, i.dtype, numbers.shape(i.shape), i.min, i.max, i.mean]
        for sample in run.samples
        for i in sample.inputs
    ]
    columns = ["sample", "input", "type", "shape", "smallest", "largest", "mean"]
    return table(columns, rows) if rows else None


def finding_counts(run: Run) -> str:
    """``1 failed, 2 warnings, 9 passed``; kinds that do not occur are left out."""
    counted = [
        (sum(finding.status == status for finding in run.findings), word)
        for status, word in (
            ("fail", "failed"), ("warn", "warning"), ("error", "crashed"), ("info", "note"),
            ("pass", "passed"), ("not_applicable", "not applicable"),
        )
    ]  # fmt: skip
    parts = [
        numbers.plural(count, word) if word in ("warning", "note") else f"{count} {word}"
        for count, word in counted
        if count
    ]
    return ", ".join(parts) or "no checks were run"


@functools.cache
def environment() -> Environment:
    """The template environment: escapes everything, and makes control characters visible."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("qdebug.reporters.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters.update(
        db=numbers.decibel,
        cosine=numbers.cosine,
        percent=numbers.percent,
        number=numbers.number,
        shape=numbers.shape,
        markdown=markdown_to_html,
        accumulated_db=text.accumulated_db,
        local_db=text.local_db,
        sensitivity_db=text.sensitivity_db,
        board_db=board_db,
        glyph=lambda status: states.STATUS_GLYPHS[status],
        status=lambda status: states.STATUS_WORDS[status],
        explanation=explanation_of,
    )
    made.globals.update(
        mark_class=lambda mark: MARK_CLASSES.get(mark[0], ""),
        state_words=states.STATE_WORDS,
        gate_words=states.GATE_WORDS,
        plural=numbers.plural,
        output_channel=output_channel,
        standing=standing,
    )
    return made


def _finalize(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value, lines=True)
    return value


def _template(name: str) -> Any:
    return environment().get_template(name)


@functools.cache
def asset(name: str) -> Markup:
    """A style sheet or script of this package, to be inlined as it is."""
    folder = resources.files("qdebug.reporters.html") / "static"
    return Markup((folder / name).read_text(encoding="utf-8"))


@functools.cache
def scripts() -> tuple[Markup, ...]:
    """The page's scripts in their order; the first says what Python says about layers."""
    return (vocabulary_script(), *(asset(name) for name in ("filter.js", "numbers.js", "app.js")))


def content_policy(allowed: Sequence[str]) -> str:
    """Content security policy: this page's own style and scripts, embedded pictures, no network."""
    hashes = " ".join(map(_hash, allowed)) or "'none'"
    return (
        f"default-src 'none'; style-src {_hash(asset('style.css'))}; script-src {hashes}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
