"""The head of the summary: what came of it, why, the fix to paste, where, and on what input."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from qdebug.reporters import heights
from qdebug.reporters.console.findings import code_to_paste
from qdebug.reporters.console.head import ORIGINS
from qdebug.reporters.console.look import STATUS_STYLES, Look
from qdebug.reporters.console.verdict import given_limits
from qdebug.reporters.encodings_words import model_rows
from qdebug.reporters.ranking import causes, channel_db, convicting_layer, seen_findings
from qdebug.reporters.text import accumulated_db, local_db
from qdebug.run.gates import input_failed
from qdebug.run.model import Finding, Layer, PreprocessInfo, Run
from qdebug.run.outcome import Outcome, capital, first_sentence, outcome_of
from qdebug.vocabulary.numbers import decibel, plural
from qdebug.vocabulary.states import BROKEN, STATE_WORDS, STATUS_GLYPHS

MOST_LINES = 25
"""Of the whole short summary at 100 columns: what a small terminal shows without scrolling."""
_LEAD = "{:<7}"
_INDENT = len(_LEAD.format(""))
_FEWEST_LAYERS = 2
_TOLD = "task-effect"
"""The finding that the headline tells already, where a task is known."""
_CAPTION = "error, of the worst channel; taller is worse"
_WHY, _FIX, _OTHERS = 3, 3, 2
_ENCODINGS = 4
"""Lines on a toolchain's file; all with ``-v``."""


def headline(run: Run, look: Look) -> list[Text]:
    """Verdict and outcome."""
    status = run.verdict.status
    style = STATUS_STYLES[status]
    return look.hanging(
        f"{status.upper()}  ", outcome_of(run).sentence, lead_style=style, style="bold"
    )


def why(run: Run, look: Look) -> list[Text]:
    """The finding that carries the verdict, in a sentence or two; and limits that the user set."""
    outcome = outcome_of(run)
    if not outcome.why:
        return given_limits(run, look, _LEAD.format("limits"))
    slug = f"{outcome.finding.slug}: " if outcome.finding is not None else ""
    told = _at_most(_WHY, _row("why", f"{slug}{outcome.why}", look), look)
    return [*told, *given_limits(run, look, _LEAD.format("limits"))]


def summary(run: Run, look: Look, scores: list[Text], end: list[Text]) -> list[list[Text]]:
    """The short summary's sections; code to paste is shown whole, or not at all.

    Args:
        run: the run.
        look: the page.
        scores: on labelled data; empty where there is none.
        end: what was written and what to type next.
    """
    outcome, head = outcome_of(run), headline(run, look)
    taken = sum(map(len, (head, scores, end))) + 2 + bool(scores)  # and blank lines between
    for brief in (False, True):
        before = [*why(run, look), *_fix(outcome, look, 1 if brief else _FIX)]
        after = [
            *_where(run, look),
            *_input(run, look),
            *others(run, look, 0 if brief else _OTHERS),
        ]
        pasted = _code(outcome, look)
        if taken + len(before) + len(pasted) + len(after) <= MOST_LINES:
            return [head, scores, [*before, *pasted, *after], end]
    before = [*why(run, look), *_fix(outcome, look, _FIX)]
    title = outcome.code.title if outcome.code is not None else ""
    told = look.hanging(" " * _INDENT, f"{title}: code to paste with -v", style="dim")
    after = [*_where(run, look), *_input(run, look), *others(run, look)]
    return [head, scores, [*before, *(told if title else []), *after], end]


def others(run: Run, look: Look, shown: int = _OTHERS) -> list[Text]:
    """The findings beside the one that says why, and how many checks found nothing."""
    carrier = outcome_of(run).finding
    rest = [f for f in seen_findings(run) if f is not carrier]
    told = [f for f in rest if f.status != "info" and not (run.task and f.slug == _TOLD)]
    lines: list[Text] = []
    for finding in told[:shown]:
        lead = _LEAD.format("also" if not lines else "")
        lines += _at_most(1, look.hanging(lead, _in_brief(finding), lead_style="dim"), look)
    counts = Counter(finding.status for finding in run.findings)
    hidden = len(told) - shown
    items = [
        plural(hidden, "other finding") if hidden > 0 else "",
        plural(counts["info"], "note") if counts["info"] else "",
        f"{plural(counts['pass'], 'check')} passed" if counts["pass"] else "",
        "-v tells all",
    ]
    lead = _LEAD.format("" if lines else "also")
    return [*lines, *look.items(lead, [item for item in items if item], lead_style="dim")]


def _in_brief(finding: Finding) -> str:
    glyph = STATUS_GLYPHS[finding.status]
    return f"{glyph} {finding.slug}: {finding.title}. {capital(first_sentence(finding.seen))}"


def _fix(outcome: Outcome, look: Look, most: int) -> list[Text]:
    finding = outcome.finding
    if finding is None or not finding.advice:
        return []
    text = first_sentence(finding.advice.strip().split("\n\n")[0])
    if finding.gain_db is None:
        return _at_most(most, _row("fix", text, look), look)
    wins, sure = f"Wins about {finding.gain_db:.1f} dB", f"({finding.confidence} confidence)."
    whole = _row("fix", f"{text} {wins} at the output {sure}", look)
    short = f"{wins} {sure}"
    if len(whole) <= most or len(short) > _GAIN_ROOM * most * look.width:
        return _at_most(most, whole, look)
    # A long list of names is cut, not what it wins: the code to paste has all of them.
    return _at_most(most, _row("fix", f"{short} {text}", look), look)


_GAIN_ROOM = 0.5
"""Share of the room for a fix that its gain may take before the fix itself. By judgement."""


def _code(outcome: Outcome, look: Look) -> list[Text]:
    return code_to_paste(outcome.code, " " * _INDENT, look) if outcome.code is not None else []


def _where(run: Run, look: Look) -> list[Text]:
    """The error along the network on one line, and under it the layer that is at fault."""
    layers = [layer for layer in run.layers if layer.state != "not_compared"]
    if len(layers) < _FEWEST_LAYERS or input_failed(run):
        return []
    levels = np.array([_level(layer) for layer in layers])
    columns = min(look.width - _INDENT, len(layers))
    at = {layer.index: heights.column_of(n, len(layers), columns) for n, layer in enumerate(layers)}
    named = {index for finding in causes(run) for index in finding.layers}
    marked = {at[index] for index in named if index in at}
    row = look.line((_LEAD.format("where"), "dim"))
    steps = len(look.levels) - 1
    for column, level in enumerate(heights.binned_worst(levels, columns).tolist()):
        step = heights.level_step(level, steps)
        row.append(look.levels[step], "bold red" if column in marked else "dim")
    culprit = convicting_layer(run)
    if culprit is None or culprit.index not in at:
        return [row, *look.hanging(" " * _INDENT, _CAPTION, style="dim")]
    return [row, *_pointer(culprit, at[culprit.index], look)]


def _pointer(layer: Layer, column: int, look: Look) -> list[Text]:
    """A pointer under the column, and beside it the layer and its number."""
    told = f"#{layer.index} {look.cut(layer.name, look.width // 3)}, {_number(layer)}"
    if cell_len(told) <= look.width - _INDENT - column - 2:
        row = f"{' ' * column}▲ {told}"
    elif cell_len(told) < column:
        row = f"{' ' * (column - cell_len(told) - 1)}{told} ▲"
    else:
        row = f"{' ' * column}▲"
    lead = " " * _INDENT
    if row.startswith(" " * (len(_CAPTION) + 2)) and told in row:
        rest = look.safe(row[len(_CAPTION) :])
        return [look.line((lead + look.safe(_CAPTION), "dim"), (rest, "red"))]
    lines = [look.line((lead + look.safe(row), "red"))]
    lines += [] if told in row else look.hanging(lead, told, style="red")
    return [*lines, *look.hanging(lead, _CAPTION, style="dim")]


def _level(layer: Layer) -> float:
    """Height of a layer: its worst channel counts, and what is broken is as bad as can be."""
    if layer.state in BROKEN:
        return 1.0
    found = [heights.error_level(x) for x in (accumulated_db(layer), channel_db(layer))]
    return float(np.nanmax(found)) if not np.isnan(found).all() else np.nan


def _number(layer: Layer) -> str:
    if layer.state in BROKEN:
        return STATE_WORDS[layer.state]
    worst = channel_db(layer)
    if worst is not None:
        return f"worst channel {decibel(worst)} dB"
    return f"local SQNR {decibel(local_db(layer))} dB"


def _input(run: Run, look: Look) -> list[Text]:
    one, other = run.preprocess.float, run.preprocess.quant
    lines = _row("input", _pipeline(one), look)
    if other.spec != one.spec:
        lines += _row("", f"quant model: {_pipeline(other)}", look)
    if run.datasets and not run.samples:  # the table of scores names models and pictures
        return [*lines, *_encodings(run, look)]
    files = f"{run.models.float.file}, {run.models.quant.file}"
    count = plural(len(run.samples), "sample")
    return [*lines, *_row("", f"{files}; {count}", look), *_encodings(run, look)]


def _encodings(run: Run, look: Look) -> list[Text]:
    """What was cut off, and what was made of a toolchain's file."""
    told: dict[str, list[str]] = {}
    for side, text in model_rows(run.models):
        told.setdefault(side, []).append(text)
    return [
        line
        for side, texts in told.items()
        for line in _at_most(_ENCODINGS, _row(side, "; ".join(texts), look), look)
    ]


def _pipeline(info: PreprocessInfo) -> str:
    """The pipeline and where it comes from; what nobody has said is told with its notes."""
    notes = () if info.origin in ("flag", "file", "metadata") else info.notes
    told = "; ".join((ORIGINS[info.origin], *notes, *(f"doubtful: {d}" for d in info.doubts)))
    return f"{info.spec or 'tensors as given'} ({told})"


def _row(label: str, text: str, look: Look) -> list[Text]:
    return look.hanging(_LEAD.format(label), text, lead_style="dim")


def _at_most(count: int, lines: list[Text], look: Look) -> list[Text]:
    """The first lines; the last one says by its end that there is more."""
    if len(lines) <= count:
        return lines
    kept = lines[:count]
    last = kept[-1]
    last.truncate(look.width - 1)
    last.rstrip()
    last.append(look.safe("…"))
    return kept
