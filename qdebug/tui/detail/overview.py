"""The overview tab: every number of a layer in one place."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.ranking import causes
from qdebug.run.model import ErrorMetrics, Layer
from qdebug.tui import charts
from qdebug.tui.context import Look
from qdebug.tui.detail.view import ROLE_WORDS, STATE_WORDS, View
from qdebug.tui.lines import blank, labelled, line, status_glyph
from qdebug.tui.numbers import cosine, decibels, plain, share
from qdebug.tui.text import visible

_ROWS = (
    ("cosine", "cosine"),
    ("centred cos", "centered_cosine"),
    ("relative L2", "rel_l2"),
    ("MSE", "mse"),
    ("largest", "max_abs"),
    ("bias", "bias"),
    ("gain", "gain"),
)
_LABEL = 13
_NUMBER = 12


def overview(view: View) -> list[Text]:
    """State, the three errors side by side, ranges, codes, weight, findings."""
    layer, look = view.layer, view.look
    lines = _state_lines(view)
    lines += _error_lines(layer, look, view.width)
    lines += _clipping_lines(layer, look, view.width)
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
    return ROLE_WORDS.get(layer.role or "", "")


def _state_lines(view: View) -> list[Text]:
    layer, look = view.layer, view.look
    words = _state_words(view)
    pick = view.session.picks.get(layer.index)
    if pick:
        listed = f"on the list: {'float' if pick == 'float' else '16 bits'}"
        words = f"{words} {look.glyphs.dot} {listed}" if words else listed
    style = look.palette.text if layer.state == "ok" else look.palette.warn
    return labelled("", words, view.width, look, style, indent=0) if words else []


def _error_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    parts: list[tuple[str, ErrorMetrics | None]] = [
        ("accumulated", layer.accumulated),
        ("local", layer.local),
    ]
    head = line((" " * _LABEL, look.palette.dim))
    for name, _ in parts:
        head.append(name.rjust(_NUMBER), look.palette.dim)
    head.append("sensitivity".rjust(_NUMBER + 1), look.palette.dim)
    sensitivity = layer.sensitivity
    values = [metrics.sqnr_db if metrics else None for _, metrics in parts]
    values.append(sensitivity.sqnr_db if sensitivity else None)
    row = line(("SQNR dB".ljust(_LABEL), look.palette.dim))
    for number, value in enumerate(values):
        room = _NUMBER + (number == 2)
        row.append(decibels(value, look.glyphs).rjust(room), look.palette.grade(value))
    lines = [head, row, _bar_row(values, look), *_worst_line(layer, look)]
    for label, field in _ROWS:
        lines.append(_metric_row(label, field, layer, look))
    if sensitivity:
        text = f"at {visible(sensitivity.output)}, with only this layer quantized"
        lines += labelled("sensitivity", text, width, look)
    return lines


def _worst_line(layer: Layer, look: Look) -> list[Text]:
    """The worst channel, which the number of the whole tensor hides."""
    worst = layer.worst_channel
    if worst is None:
        return []
    row = line(("worst channel".ljust(_LABEL), look.palette.dim))
    row.append(
        decibels(worst.sqnr_db, look.glyphs).rjust(_NUMBER), look.palette.grade(worst.sqnr_db)
    )
    return [row.append(f"  channel {worst.index}", look.palette.dim)]


def _bar_row(values: list[float | None], look: Look) -> Text:
    row = line((" " * _LABEL, ""))
    for number, value in enumerate(values):
        level = charts.error_level(value)
        row.append(" " * (3 + (number == 2)))
        row.append_text(charts.bar(level, _NUMBER - 3, look, charts.level_style(level, look)))
    return row


def _metric_row(label: str, field: str, layer: Layer, look: Look) -> Text:
    write = cosine if "cosine" in field else plain
    row = line((label.ljust(_LABEL), look.palette.dim))
    for metrics in (layer.accumulated, layer.local):
        value = getattr(metrics, field) if metrics else None
        row.append(write(value, look.glyphs).rjust(_NUMBER))
    if field == "cosine" and layer.sensitivity:
        row.append(cosine(layer.sensitivity.cosine, look.glyphs).rjust(_NUMBER + 1))
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
    row.append(f" {100 * part:.0f} % clipping, {100 * (1 - part):.0f} % rounding")
    return [row]


def _value_lines(layer: Layer, look: Look, width: int) -> list[Text]:
    lines: list[Text] = []
    for label, extremes in (("range float", layer.range_float), ("range quant", layer.range_quant)):
        if extremes:
            text = f"{plain(extremes.min, look.glyphs)} .. {plain(extremes.max, look.glyphs)}"
            lines += labelled(label, text, width, look)
    if layer.clipped is not None:
        text = f"{share(layer.clipped, look.glyphs)} % of the float values lie outside the range"
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
    text = f"{weight.dtype} {kind}, {decibels(weight.sqnr_db, look.glyphs)} dB"
    if weight.worst_channel:
        at = weight.worst_channel
        text += f", worst channel {at.index} at {decibels(at.sqnr_db, look.glyphs)} dB"
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
