"""A run in at most 60 lines of Markdown, for a ticket or a CI summary."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from qdebug.metrics.metric import LEAD
from qdebug.reporters.base import Reporter
from qdebug.reporters.board import board_db, has_board
from qdebug.reporters.ranking import Named, glyph, named_layers, seen_findings, worst_first
from qdebug.reporters.reproduce import shell_command
from qdebug.reporters.scores import facts_of, headings, rows_of
from qdebug.reporters.text import accumulated_db, local_db, sensitivity_db
from qdebug.run.dataset_scores import DatasetResult
from qdebug.run.model import Finding, Layer, OutputResult, Run
from qdebug.run.outcome import outcome_of
from qdebug.run.standing import output_channel, sqnr_limit
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel, plural
from qdebug.vocabulary.states import STATE_WORDS, STATUS_GLYPHS

MAX_LINES = 60
_OUTPUTS, _FINDINGS, _LAYERS = 5, 6, 10
_MAX_TEXT = 400
_SPAN = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


class MarkdownReporter(Reporter):
    """Verdict, outputs, findings and the most telling layers."""

    suffixes = (".md", ".markdown")

    def render(self, run: Run) -> str:
        """The text; it ends in a newline."""
        parts = [
            _head(run),
            _tuning(run),
            *(_scores(result) for result in run.datasets),
            _outputs(run),
            _findings(run),
            _layers(run),
            _foot(run),
        ]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def escaped(text: object) -> str:
    """Text on one line that Markdown does not interpret, shortened; mentions lead nowhere."""
    return _escaped_part(_shortened(text)).strip()


def code(text: object, *, in_table: bool = False) -> str:
    """Text as a code span."""
    shown = _shortened(text)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    span = f"{ticks}{space}{shown}{space}{ticks}"
    return span.replace("|", "\\|") if in_table else span


def prose(text: str) -> str:
    """A finding's text on one line: its code spans stay, everything else is escaped."""
    parts = _SPAN.split(_shortened(text))
    return "".join(code(part) if i % 2 else _escaped_part(part) for i, part in enumerate(parts))


def _escaped_part(text: str) -> str:
    """The same as ``escaped``, with the blanks around it."""
    return _SPECIAL.sub(r"\\\1", text).replace("@", "&#64;")


def _shortened(text: object) -> str:
    shown = " ".join(visible(text, lines=True).split("\n"))
    return shown if len(shown) <= _MAX_TEXT else shown[: _MAX_TEXT - 1] + "…"


def _head(run: Run) -> list[str]:
    verdict, float_model, quant_model = run.verdict, run.models.float, run.models.quant
    detail = f" ({escaped(quant_model.detail)})" if quant_model.detail else ""
    specs = (run.preprocess.float.spec, run.preprocess.quant.spec)
    same = "" if specs[0] == specs[1] else f"; quant model: {code(specs[1])}"
    return [
        f"## {STATUS_GLYPHS[verdict.status]} {verdict.status.upper()}: "
        f"{escaped(outcome_of(run).sentence)}",
        "",
        escaped(verdict.reason),
        "",
        f"- float: {code(float_model.file)}, quant: {code(quant_model.file)}, "
        f"{quant_model.format}{detail}",
        f"- {plural(len(run.samples), 'sample')}, {plural(len(run.layers), 'layer')} compared; "
        f"input: {code(specs[0])}{same}",
    ]


def _tuning(run: Run) -> list[str]:
    """What a tuning came to, in the record of one."""
    tuning = run.tuning
    if tuning is None:
        return []
    lines = [f"### Tuned: {escaped(tuning.verdict)}", ""]
    for cure in tuning.cures:
        word = "done" if cure.accepted else f"refused, {escaped(cure.reason)}"
        units = f" ({', '.join(map(code, cure.units[:_OUTPUTS]))})" if cure.units else ""
        lines.append(f"- {escaped(cure.title)}{units}: {cure.measured_db:+.1f} dB, {word}")
    return lines


def _scores(result: DatasetResult) -> list[str]:
    heads = headings(result)
    rows = [[escaped(cell) or " " for cell in row] for row in rows_of(result)]
    table = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows[:_LAYERS]]
    lines = [f"Scores on {code(result.name)}, {plural(result.pictures, 'picture')}; "
             f"read as {escaped(result.decoding)}", ""]  # fmt: skip
    lines += [f"| {' | '.join(row)} |" for row in table]
    if result.changed:
        changed = (f"{code(c.name)}: {escaped(facts_of(c))}" for c in result.changed[:_OUTPUTS])
        lines += ["", "Changed, worst first:", *(f"- {line}" for line in changed)]
    return lines


def _outputs(run: Run) -> list[str]:
    if not run.outputs:
        return []
    rows = [_output_row(run, output) for output in run.outputs[:_OUTPUTS]]
    more = len(run.outputs) - _OUTPUTS
    note = [f"| and {more} more |{' |' * (len(LEAD) + 2)}"] if more > 0 else []
    titles = ("output", "worst channel, dB", *(metric.heading for metric in LEAD), "state")
    rule = f"|---|{'--:|' * (len(LEAD) + 1)}---|"
    return [f"| {' | '.join(titles)} |", rule, *rows, *note]


def _output_row(run: Run, output: OutputResult) -> str:
    worst = output_channel(run, output)
    cells = (
        code(output.name, in_table=True),
        f"{worst.index}: {decibel(worst.sqnr_db)}" if worst else "—",
        *(m.write(getattr(output.accumulated, m.name, None)) for m in LEAD),
        STATE_WORDS[output.state],
    )
    return f"| {' | '.join(cells)} |"


def _findings(run: Run) -> list[str]:
    found = [finding for finding in seen_findings(run) if finding.status != "info"]
    passed = sum(finding.status == "pass" for finding in run.findings)
    lines = [f"### {plural(len(found), 'finding')}, {passed} checks passed"]
    for finding in found[:_FINDINGS]:
        lines += ["", *_finding(finding)]
    if len(found) > _FINDINGS:
        lines += ["", f"and {len(found) - _FINDINGS} more"]
    return lines


def _finding(finding: Finding) -> list[str]:
    gain = "" if finding.gain_db is None else f" (about {decibel(finding.gain_db)} dB)"
    layers = ", ".join(str(index) for index in finding.layers[:8])
    named = f" (layers {layers})" if layers else ""
    name = escaped(f"{STATUS_GLYPHS[finding.status]} {finding.id} {finding.slug}")
    lines = [
        f"**{name}** {prose(finding.title).strip()}{named}  ",
        f"seen: {prose(finding.seen).strip()}" + ("  " if finding.advice else ""),
    ]
    return [*lines, f"do: {prose(finding.advice).strip()}{gain}"] if finding.advice else lines


def _layers(run: Run) -> list[str]:
    if not run.layers:
        return []
    limit, named = sqnr_limit(run), named_layers(run)
    readers = [accumulated_db, local_db, sensitivity_db, *([board_db] if has_board(run) else [])]
    rows = [_layer_row(layer, limit, named, readers) for layer in worst_first(run)[:_LAYERS]]
    titles = ["accumulated, dB", "local, dB", "sensitivity, dB", "board, dB"][: len(readers)]
    return [
        f"| layer | op | role | {' | '.join(titles)} |",
        f"|---|---|---|{'--:|' * len(titles)}",
        *rows,
    ]


def _layer_row(
    layer: Layer, limit: float, named: Named, readers: Sequence[Callable[[Layer], float | None]]
) -> str:
    mark, word = glyph(layer, limit, named)
    numbers = [read(layer) for read in readers]
    spans = [code(text, in_table=True) for text in (f"{layer.index} {layer.name}", layer.op)]
    cells = [*spans, f"{mark} {word}"]
    return "| " + " | ".join([*cells, *map(decibel, numbers)]) + " |"


def _foot(run: Run) -> list[str]:
    tool = run.tool
    return [
        code(shell_command(run.command)),
        "",
        f"qdebug {escaped(tool.version)}, onnxruntime {escaped(tool.onnxruntime)}, "
        f"{escaped(tool.cpu)}; sha256 {escaped(run.models.float.sha256[:12])} and "
        f"{escaped(run.models.quant.sha256[:12])}",
    ]


markdown = MarkdownReporter()
