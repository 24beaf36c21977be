"""The tabs on what surrounds a layer: neighbours as a small graph, and findings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from qdebug.run.model import Layer
from qdebug.tui.detail.view import View, layer_glyph
from qdebug.tui.evidence import evidence_lines
from qdebug.tui.lines import blank, finding_lines, line
from qdebug.tui.text import fit, wrap
from qdebug.vocabulary.numbers import decibel

_NAMED = 8


def neighbours(view: View) -> list[Text]:
    """Producers above, the layer, consumers below, each with its numbers; two steps each way."""
    layer, look = view.layer, view.look
    above = _known(layer.inputs, view)
    below = _known(layer.outputs, view)
    lines = [_head(view)]
    for parent in above:
        lines += [_node(grand, view, 0, dim=True) for grand in _known(parent.inputs, view)[:2]]
        lines.append(_node(parent, view, 1))
    if not above:
        lines.append(line(("  the model's input", look.palette.dim)))
    lines.append(_node(layer, view, 2, here=True))
    for child in below:
        lines.append(_node(child, view, 3))
        lines += [_node(grand, view, 4, dim=True) for grand in _known(child.outputs, view)[:2]]
    if not below:
        lines.append(line(("      the model's output, or nothing compared", look.palette.dim)))
    lines.append(blank())
    return [*lines, line(("[ goes to the producer, ] to a consumer", look.palette.dim))]


def _head(view: View) -> Text:
    room = max(view.width - 16, 10)
    return line((f"{'':{room}}{'accum':>8}{'local':>8}", view.look.palette.dim))


def _known(indices: Sequence[int], view: View) -> list[Layer]:
    layers = (view.session.layer(index) for index in indices[:_NAMED])
    return [layer for layer in layers if layer is not None]


def _node(layer: Layer, view: View, depth: int, *, here: bool = False, dim: bool = False) -> Text:
    look = view.look
    glyph, glyph_style = layer_glyph(layer, look)
    arrow = look.glyphs.dot if depth == 0 else look.glyphs.arrow
    head = f"{' ' * depth}{arrow} "
    room = view.width - 16 - len(head) - 2
    base = look.palette.bold if here else look.palette.dim if dim else look.palette.text
    row = line((head, look.palette.dim), (f"{glyph} ", glyph_style))
    label = f"{layer.index} {layer.op}  {layer.name}"
    row.append(fit(label, max(room, 6), look.glyphs), base)
    for metrics in (layer.accumulated, layer.local):
        value = metrics.sqnr_db if metrics else None
        row.append(look.glyphs.text(decibel(value)).rjust(8), look.palette.grade(value))
    return row


def findings(view: View) -> list[Text]:
    """Every finding that names the layer, with its evidence."""
    touching = view.session.findings_of.get(view.layer.index, [])
    if not touching:
        return wrap(
            "no finding names this layer", view.width, view.look.glyphs, view.look.palette.dim
        )
    lines: list[Text] = []
    for finding in touching:
        lines += finding_lines(finding, view.width, view.look)
        for item in finding.evidence:
            lines += evidence_lines(item, view.width, view.look, view.run.files)
        lines.append(blank())
    return lines
