"""Cards: everything the run knows about one layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from qdebug.reporters.board import HEADINGS, board_facts, board_numbers
from qdebug.reporters.html import figures
from qdebug.reporters.html.crops import crop_figure
from qdebug.reporters.html.pictures import Pictures
from qdebug.reporters.ranking import (
    Named,
    findings_with,
    glyph,
    named_layers,
    seen_findings,
    worst_first,
)
from qdebug.reporters.text import layer_label, sensitivity_db
from qdebug.run.arrays import RunArrays
from qdebug.run.model import Finding, Layer, Run
from qdebug.run.standing import sqnr_limit
from qdebug.vocabulary.numbers import decibel, number, percent, shape
from qdebug.vocabulary.states import STATE_WORDS

WORST = 20
"""Cards for this many of the worst layers, besides the layers of findings."""
_MAX_CARDS = 48
_MAX_PER_FINDING = 8


@dataclass(frozen=True)
class Card:
    """One layer, ready to be laid out.

    Attributes:
        headings: of the columns of ``metrics`` behind the name.
        metrics: rows of name and numbers.
        facts: rows of name, value.
        histogram: figure, None without one.
        channels: figure, None without channels.
        crop: figure, None where the run keeps no values of the layer.
    """

    layer: Layer
    mark: tuple[str, str]
    headings: tuple[str, ...]
    metrics: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]
    histogram: Markup | None
    channels: Markup | None
    crop: Markup | None
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    findings: tuple[Finding, ...]


def card_layers(run: Run) -> list[Layer]:
    """The layers that get a card, worst first: the worst ones and those that findings name."""
    ranked = worst_first(run)
    chosen = {layer.index for layer in ranked[:WORST]}
    for finding in [*seen_findings(run), *findings_with(run, "pass")]:
        if finding.status in ("fail", "warn"):
            chosen |= set(finding.layers[:_MAX_PER_FINDING])
    return [layer for layer in ranked if layer.index in chosen][:_MAX_CARDS]


def build_cards(run: Run, arrays: RunArrays, pictures: Pictures) -> list[Card]:
    """Cards in the order of ``card_layers``."""
    named = named_layers(run)
    return [build_card(run, layer, named, arrays, pictures) for layer in card_layers(run)]


def build_card(run: Run, layer: Layer, named: Named, arrays: RunArrays, pictures: Pictures) -> Card:
    """The card of one layer."""
    return Card(
        layer=layer,
        mark=glyph(layer, sqnr_limit(run), named),
        headings=(
            "accumulated",
            "local",
            *(f"board, {heading}" for heading in HEADINGS if layer.board),
        ),
        metrics=_metrics(run, layer),
        facts=tuple((name, value) for name, value in _facts(layer) if value),
        histogram=_histogram(layer, arrays),
        channels=_channels(layer, arrays),
        crop=crop_figure(run, layer, pictures),
        inputs=_neighbours(run, layer.inputs),
        outputs=_neighbours(run, layer.outputs),
        findings=tuple(f for f in seen_findings(run) if layer.index in f.layers),
    )


def _neighbours(run: Run, indices: tuple[int, ...]) -> tuple[Layer, ...]:
    return tuple(run.layers[i] for i in indices if 0 <= i < len(run.layers))


def _metrics(run: Run, layer: Layer) -> tuple[tuple[str, ...], ...]:
    parts = (layer.accumulated, layer.local)
    rows: list[tuple[str, ...]] = []
    for metric in run.metrics:
        values = [getattr(part, metric.name, None) for part in parts]
        values += board_numbers(layer, metric.name) if layer.board else ()
        rows.append((metric.heading, *map(metric.write, values)))
    rest = ("",) * len(HEADINGS) if layer.board else ()
    if layer.local is not None:
        rows.append(("of the MSE: clipping", "", _share(layer.local.clipping_mse, layer), *rest))
        rows.append(("of the MSE: rounding", "", _share(layer.local.rounding_mse, layer), *rest))
    return tuple(rows)


def _share(part: float, layer: Layer) -> str:
    whole = layer.local.mse if layer.local else 0.0
    return percent(part / whole) if whole > 0 and math.isfinite(part / whole) else percent(None)


def _facts(layer: Layer) -> list[tuple[str, str]]:
    state = STATE_WORDS[layer.state]
    return [
        ("state", state if not layer.reason else f"{state}: {layer.reason}"),
        ("operator", layer.op),
        ("float tensor", layer.float_tensor),
        ("quant tensor", layer.quant_tensor),
        ("paired by", layer.paired_by),
        ("shape", shape(layer.shape)),
        ("sensitivity", _sensitivity(layer)),
        *_range_facts(layer),
        ("worst channel", _worst_channel(layer)),
        ("worst sample", layer.worst_sample or ""),
        ("weight", _weight(layer)),
        *board_facts(layer),
    ]


def _range_facts(layer: Layer) -> list[tuple[str, str]]:
    quant = layer.quant
    spans = (layer.range_float, layer.range_quant)
    float_span, quant_span = (f"[{number(s.min)}, {number(s.max)}]" if s else "" for s in spans)
    facts = [("float values", float_span), ("quant values", quant_span)]
    if quant is not None:
        facts += [
            ("data type", quant.dtype),
            ("scale", _one_or_many(quant.scale)),
            ("zero point", _one_or_many(quant.zero_point)),
        ]
        if quant.range is not None:
            facts.append(("representable", f"[{number(quant.range[0])}, {number(quant.range[1])}]"))
    codes = "" if layer.codes_used is None else f"{layer.codes_used} of {number(layer.codes_total)}"
    clipped = "" if layer.clipped is None else percent(layer.clipped)
    return [*facts, ("values clipped", clipped), ("codes used", codes)]


def _one_or_many(value: float | int | tuple[float, ...] | tuple[int, ...]) -> str:
    if not isinstance(value, tuple):
        return number(value)
    if not value:
        return ""
    return f"{len(value)} channels, {number(min(value))} to {number(max(value))}"


def _sensitivity(layer: Layer) -> str:
    if layer.sensitivity is None:
        return ""
    predicted = ", predicted" if layer.sensitivity.method == "first-order" else ""
    share = layer.sensitivity.share
    of_all = "" if share is None else f", {percent(share)} of all layers' noise there"
    where = layer.sensitivity.output
    return f"{decibel(sensitivity_db(layer))} dB at {where}{of_all}{predicted}"


def _worst_channel(layer: Layer) -> str:
    worst = layer.worst_channel
    return f"{worst.index}: {decibel(worst.sqnr_db)} dB accumulated" if worst else ""


def _weight(layer: Layer) -> str:
    weight = layer.weight
    if weight is None:
        return ""
    kind = "per channel" if weight.per_channel else "per tensor"
    return f"{weight.tensor}, {weight.dtype} {kind}, {decibel(weight.sqnr_db)} dB"


def _histogram(layer: Layer, arrays: RunArrays) -> Markup | None:
    found = arrays.histogram(layer.index)
    if found is None or not all(math.isfinite(edge) for edge in (found.edges[0], found.edges[-1])):
        return None
    marks = {}
    if layer.quant is not None and layer.quant.range is not None:
        marks = {"lowest": layer.quant.range[0], "highest": layer.quant.range[1]}
    series = {"float": found.float.tolist(), "quant": found.quant.tolist()}
    title = f"Values of {layer_label(layer)} in the float and the quant run"
    return figures.histogram(title, found.edges.tolist(), series, marks)


def _channels(layer: Layer, arrays: RunArrays) -> Markup | None:
    values, _ = arrays.channels(layer.index)
    if len(values) < 2:
        return None
    worst = layer.worst_channel.index if layer.worst_channel else None
    title = f"Accumulated SQNR of the {len(values)} channels of {layer_label(layer)}"
    return figures.channels(title, values, worst)
