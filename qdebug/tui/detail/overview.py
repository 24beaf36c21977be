"""The overview tab: every number of a layer in one place."""

from __future__ import annotations

from rich.text import Text

from qdebug.metrics.entry import Metric
from qdebug.metrics.metric import LEAD
from qdebug.reporters import heights
from qdebug.reporters.board import HEADINGS, board_facts, board_numbers
from qdebug.reporters.ranking import causes
from qdebug.run.model import Layer
from qdebug.tui import charts
from qdebug.tui.context import Look
from qdebug.tui.detail.view import View
from qdebug.tui.lines import blank, labelled, line, status_glyph
from qdebug.tui.text import visible
from qdebug.vocabulary.numbers import decibel, number, percent
from qdebug.vocabulary.states import ROLE_WORDS, STATE_WORDS

_LABEL = 13
_NUMBER = 12
_ROOMS = (_NUMBER, _NUMBER, _NUMBER + 1)
"""Cells of the columns accumulated, local, sensitivity."""


def overview(view: View) -> list[Text]:
    """State, the three errors side by side, ranges, codes, weight, findings."""
    layer, look = view.layer, view.look
    lines = _state_lines(view)
    lines += _error_lines(view)
    lines += _clipping_lines(layer, look, view.width)
    lines += _board_lines(layer, look, view.width)
    lines += _touching(view)
    lines.append(blank())
    lines += _value_lines(layer, look, view.width)
    lines += _weight_lines(layer, look, view.width)
    lines += _identity_lines(layer, look, view.width)
    return lines


def _state_words(view: View) -> str:
    """What the layer is. A failed finding goes before numbers that look sound."""
    layer = view.layer
    if layer.state != "ok":
        return STATE_WORDS[layer.state] + (f": {layer.reason}" if layer.reason else "")
    blame = next((f for f in causes(view.run) if layer.index in f.layers), None)
    if blame is not None and layer.role == "sound":
        return (
            f"named by {blame.id} {blame.slug}, though the numbers of the whole tensor look sound"
        )
    return ROLE_WORDS[layer.role] if layer.role else ""


def _state_lines(view: View) -> list[Text]:
    layer, look = view.layer, view.look
    words = _state_words(view)
    pick = view.session.picks.get(layer.index)
    if pick:
        listed = f"on the list: {'float' if pick == 'float' else '16 bits'}"
        words = f"{words} {look.glyphs.dot} {listed}" if words else listed
    style = look.palette.text if layer.state == "ok" else look.palette.warn
    return labelled("", words, view.width, look, style, indent=0) if words else []


def _error_lines(view: View) -> list[Text]:
    layer, look, first = view.layer, view.look, LEAD[0]
    head = line((" " * _LABEL, look.palette.dim))
    for name, room in zip(("accumulated", "local", "sensitivity"), _ROOMS, strict=True):
        head.append(name.rjust(room), look.palette.dim)
    values = _values(first, layer)
    row = line((f"{first.short} {first.unit}".ljust(_LABEL), look.palette.dim))
    for value, room in zip(values, _ROOMS, strict=True):
        row.append(look.glyphs.text(first.write(value)).rjust(room), look.palette.grade(value))
    lines = [head, row, _bar_row(values, look), *_worst_line(layer, look)]
    lines += [_metric_row(metric, layer, look) for metric in view.run.metrics if metric != first]
    if layer.sensitivity:
        predicted = " (predicted)" if layer.sensitivity.method == "first-order" else ""
        where = visible(layer.sensitivity.output)
        text = f"at {where}, with only this layer quantized{predicted}"
        if layer.sensitivity.share is not None:
            text += f": {percent(layer.sensitivity.share)} of all layers' noise there"
        lines += labelled("sensitivity", text, view.width, look)
    return lines


def _values(metric: Metric, layer: Layer) -> list[float | None]:
    """Accumulated, local and sensitivity."""
    parts = (layer.accumulated, layer.local, layer.sensitivity)
    return [getattr(part, metric.name, None) for part in parts]


def _worst_line(layer: Layer, look: Look) -> list[Text]:
    """The worst channel, which the number of the whole tensor hides."""
    worst = layer.worst_channel
    if worst is None:
        return []
    row = line(("worst channel".ljust(_LABEL), look.palette.dim))
    row.append(
        look.glyphs.text(decibel(worst.sqnr_db)).rjust(_NUMBER), look.palette.grade(worst.sqnr_db)
    )
    return [row.append(f"  channel {worst.index}", look.palette.dim)]


def _bar_row(values: list[float | None], look: Look) -> Text:
    row = line((" " * _LABEL, ""))
    for value, room in zip(values, _ROOMS, strict=True):
        level = heights.error_level(value)
        row.append(" " * (room - _NUMBER + 3))
        row.append_text(charts.bar(level, _NUMBER - 3, look, charts.level_style(level, look)))
    return row


def _metric_row(metric: Metric, layer: Layer, look: Look) -> Text:
    row = line((metric.short.ljust(_LABEL), look.palette.dim))
    in_sensitivity = layer.sensitivity is not None and hasattr(layer.sensitivity, metric.name)
    shown = _values(metric, layer)[: 2 + in_sensitivity]
    for value, room in zip(shown, _ROOMS, strict=False):
        row.append(look.glyphs.text(metric.write(value)).rjust(room))
    return row


def _clipping_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    """How much of the local error is clipping, as a bar of two parts."""
    local = layer.local
    if local is None or not local.mse > 0:
        return []
    part = min(max(local.clipping_mse / local.mse, 0.0), 1.0)
    room = max(min(width - _LABEL - 30, 24), 6)
    row = line(("local is".ljust(_LABEL), look.palette.dim))
    row.append_text(charts.bar(part, room, look, look.palette.warn))
    row.append(f" {percent(part)} clipping, {percent(1 - part)} rounding")
    return [row]


def _board_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    """The board against both models, and what else is known of the layer there."""
    if layer.board is None:
        return []
    lines: list[Text] = []
    numbers = zip(HEADINGS, board_numbers(layer, LEAD[0].name), strict=True)
    told = [f"{name} {decibel(value)} dB" for name, value in numbers if value is not None]
    lines += labelled("board", f" {look.glyphs.dot} ".join(told), width, look) if told else []
    for name, value in board_facts(layer):
        lines += labelled("", f"{name}: {value}", width, look)
    return lines


def _value_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    lines: list[Text] = []
    for label, extremes in (("range float", layer.range_float), ("range quant", layer.range_quant)):
        if extremes:
            text = f"{number(extremes.min)} .. {number(extremes.max)}"
            lines += labelled(label, text, width, look)
    if layer.clipped is not None:
        text = f"{percent(layer.clipped)} of the float values lie outside the range"
        lines += labelled("clipped", text, width, look)
    if layer.codes_used is not None:
        total = f" of {layer.codes_total}" if layer.codes_total else ""
        lines += labelled("codes used", f"{layer.codes_used}{total}", width, look)
    if layer.worst_sample:
        lines += labelled("worst sample", visible(layer.worst_sample), width, look)
    return lines


def _weight_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    weight = layer.weight
    if weight is None:
        return []
    kind = "per channel" if weight.per_channel else "per tensor"
    text = f"{weight.dtype} {kind}, {decibel(weight.sqnr_db)} dB"
    if weight.worst_channel:
        at = weight.worst_channel
        text += f", worst channel {at.index} at {decibel(at.sqnr_db)} dB"
    return labelled("weight", text, width, look)


def _identity_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    shape = look.glyphs.times.join(str(n) for n in layer.shape) or "scalar"
    lines = labelled("shape", f"{shape}, paired by {visible(layer.paired_by)}", width, look)
    lines += labelled("node", visible(layer.name), width, look)
    lines += labelled("float tensor", visible(layer.float_tensor), width, look)
    lines += labelled("quant tensor", visible(layer.quant_tensor), width, look)
    return lines


def _touching(view: View) -> list[Text]:
    lines = []
    for finding in view.session.findings_of.get(view.layer.index, []):
        glyph, style = status_glyph(finding.status, view.look)
        text = f"{finding.id} {finding.title}"
        lines += labelled(f"{glyph} finding", text, view.width, view.look, style)
    return lines
