"""A comparison on the terminal."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.reporters.diff.view import (
    MAX_LAYERS,
    arrow,
    changes_of,
    limits_text,
    score_text,
    signed,
    task_text,
    view,
    worst_channel_arrow,
)
from qdebug.run.diff import FindingDiff, LayerDiff, Levels, OutputDiff, RunDiff
from qdebug.vocabulary.states import STATUS_GLYPHS

_STYLES = {"worse": "yellow", "better": "green", "new": "cyan", "gone": "cyan"}
_MARKS = {"worse": "!", "better": "+", "new": "+", "gone": "-"}
_ARROW_WIDTH = 14
_NUMBERS_WIDTH = 54
_ONE_LINE = 80
"""Columns from which on a layer's numbers stand beside its name."""


def render_console(diff: RunDiff, look: Look) -> Text:
    """The whole text, ending in a newline."""
    shown = view(diff)
    status, color = ("fail", "bold red") if diff.exit_code else ("pass", "bold green")
    lines = look.hanging(f"{STATUS_GLYPHS[status]} ", shown.headline, lead_style=color, style=color)
    lines += _models(diff, look)
    for caveat in diff.caveats:
        lines += look.hanging("! ", caveat, lead_style="yellow")
    lines += _block("Task", look.items("   ", [task_text(item) for item in shown.task]))
    lines += _block("Scores", look.items("   ", [score_text(item) for item in shown.scores]))
    lines += _block("Outputs", [row for item in shown.outputs for row in _output(item, look)])
    lines += _block("Findings", [row for item in shown.findings for row in _finding(item, look)])
    lines += _block("Regressed", _layers(shown.regressed, look))
    lines += _block("Improved", _layers(shown.improved, look))
    changed = [row for what, count in shown.settings
               for row in look.hanging(f"{count:>6} layers  ", what)]  # fmt: skip
    lines += _block("Quantization", changed)
    lines += [Text(), *look.hanging("Layers  ", shown.counts)]
    lines += look.hanging("Limits  ", limits_text(diff))
    return Text("\n").join(lines) + Text("\n")


def _models(diff: RunDiff, look: Look) -> list[Text]:
    sides = (("old", diff.old_models, diff.old_verdict), ("new", diff.new_models, diff.new_verdict))
    return [
        row
        for name, models, verdict in sides
        for row in look.hanging(
            f"  {name}  ", f"{models.quant.file}  {verdict.status.upper()}  {verdict.reason}"
        )
    ]


def _block(title: str, lines: list[Text]) -> list[Text]:
    return [Text(), Text(title, style="bold"), *lines] if lines else []


def _mark(change: str, regressed: bool) -> tuple[str, str]:
    return ("✗", "red") if regressed else (_MARKS.get(change, " "), _STYLES.get(change, ""))


def _output(item: OutputDiff, look: Look) -> list[Text]:
    mark, style = _mark(item.change, item.regressed)
    name = look.fit(item.name, _name_width(look))
    levels = f"{_fit_arrow(item.accumulated, look)} dB {signed(item.accumulated):>6}"
    lines = [look.line((look.safe(f" {mark} "), style), name, " ", look.safe(levels))]
    worst = worst_channel_arrow(item)
    if worst:
        lines += look.hanging("     ", f"worst channel {worst} dB", style="dim")
    return lines


def _finding(item: FindingDiff, look: Look) -> list[Text]:
    mark, style = _mark(item.change, item.regressed)
    states = f"{item.old_status or 'absent'} → {item.new_status or 'absent'}"
    text = f"{item.id} {item.slug}  {states}  {item.title}"
    return look.hanging(f" {mark} ", text, lead_style=style)


def _layers(layers: tuple[LayerDiff, ...], look: Look) -> list[Text]:
    lines = [line for layer in layers[:MAX_LAYERS] for line in _layer(layer, look)]
    hidden = len(layers) - MAX_LAYERS
    return [*lines, *look.hanging("   ", f"… {hidden} more")] if hidden > 0 else lines


def _layer(layer: LayerDiff, look: Look) -> list[Text]:
    mark, style = _mark(layer.change, layer.regressed)
    index = layer.old if layer.new is None else layer.new
    name = f"#{index} {layer.name}"
    change = look.fit(signed(layer.accumulated), 6, right=True)
    accumulated = f"accum {_fit_arrow(layer.accumulated, look)} {change}"
    numbers = f"{accumulated}  local {_fit_arrow(layer.local, look)}"
    lead = (look.safe(f" {mark} "), style)
    if look.width < _ONE_LINE:
        lines = [look.line(lead, look.cut(name, look.width - 3)), look.line("     ", numbers)]
    else:
        lines = [look.line(lead, look.fit(name, _name_width(look)), " ", numbers)]
    details = [f"was {layer.old_name}"] if layer.old_name else []
    details += changes_of(layer)
    return [*lines, *(look.hanging("     ", "; ".join(details), style="dim") if details else [])]


def _fit_arrow(levels: Levels, look: Look) -> str:
    return look.fit(arrow(levels), _ARROW_WIDTH, right=True)


def _name_width(look: Look) -> int:
    return max(12, look.width - _NUMBERS_WIDTH)
