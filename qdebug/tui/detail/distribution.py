"""The tabs on values: histogram, channels, samples, quantization."""

from __future__ import annotations

import math

import numpy as np
from rich.text import Text

from qdebug.reporters import heights
from qdebug.run.model import QuantInfo
from qdebug.tui import charts
from qdebug.tui.context import Look
from qdebug.tui.detail.view import View
from qdebug.tui.lines import blank, grid, labelled, line
from qdebug.tui.text import fit, wrap
from qdebug.vocabulary.numbers import decibel, number, percent


def histogram(view: View) -> list[Text]:
    """Float values above the axis, quant values below it, the representable range marked."""
    look = view.look
    found = view.session.arrays.histogram(view.layer.index)
    if found is None:
        return _note("the run holds no histogram of this layer", view)
    marks = {}
    if view.layer.quant and view.layer.quant.range:
        low, high = view.layer.quant.range
        marks = {"lowest code": low, "highest code": high}
    height = min(max((view.height - 6) // 2, 3), 12)
    series = {"float": found.float.tolist(), "quant": found.quant.tolist()}
    lines = charts.two_sided_histogram(
        found.edges.tolist(), series, marks, min(view.width, 130), height, look, log=view.log
    )
    other = "linear" if view.log else "logarithmic"
    return [*lines, blank(), line((f"L shows {other} counts", look.palette.dim))]


def channels(view: View) -> list[Text]:
    """Channels, worst first, and all of them along the axis."""
    look, layer = view.look, view.layer
    sqnr, absmax = view.session.arrays.channels(layer.index)
    if not len(sqnr) and not layer.worst_channels:
        return _note("this layer has no channels", view)
    lines: list[Text] = []
    if len(sqnr):
        lines += _channel_strip(sqnr.astype(np.float64), view)
        order = np.argsort(np.where(np.isnan(sqnr), -np.inf, sqnr), kind="stable")
        worst = [(int(i), float(sqnr[i]), float(absmax[i])) for i in order[:64]]
    else:
        worst = [(c.index, c.sqnr_db, math.nan) for c in layer.worst_channels]
    head = f"{'channel':>8}  {'SQNR dB':>8}  {'':12}  {'largest |float|':>15}"
    lines.append(line((head, look.palette.dim)))
    for channel, value, largest in worst:
        level = 1.0 if math.isnan(value) else heights.error_level(value)
        row = line(f"{channel:>8}  ")
        row.append(f"{look.glyphs.text(decibel(value)):>8}  ", look.palette.grade(value))
        row.append_text(charts.bar(level, 12, look, charts.level_style(level, look)))
        row.append("" if math.isnan(largest) else f"  {look.glyphs.text(number(largest)):>15}")
        lines.append(row)
    if len(sqnr) > len(worst):
        note = f"{len(sqnr) - len(worst)} better channels are not listed"
        lines.append(line((note, look.palette.dim)))
    return lines


def _channel_strip(sqnr: heights.FloatArray, view: View) -> list[Text]:
    look = view.look
    axis = view.layer.channel_axis
    name = f"{len(sqnr)} channels" + (f" along axis {axis}" if axis is not None else "")
    levels = heights.binned_worst(heights.channel_levels(sqnr), min(view.width - 2, 96))
    row = line("")
    for level in levels.tolist():
        row.append(charts.level_glyph(level, look), charts.level_style(level, look))
    return [
        line((f"{name}, error of each: taller is worse (worst first below)", look.palette.dim)),
        row,
        blank(),
    ]


def samples(view: View) -> list[Text]:
    """The layer's accumulated error in every sample, worst first."""
    look, layer = view.look, view.layer
    if not layer.sample_sqnr_db:
        return _note("the run holds no numbers per sample for this layer", view)
    pairs = list(zip(view.run.samples, layer.sample_sqnr_db, strict=False))
    pairs.sort(key=lambda pair: -math.inf if math.isnan(pair[1]) else pair[1])
    room = max(view.width - 24, 10)
    lines = [line(("accumulated SQNR, worst sample first", look.palette.dim))]
    for sample, value in pairs:
        level = heights.error_level(value)
        row = line(f"{fit(sample.name, room, look.glyphs)} ")
        row.append(f"{look.glyphs.text(decibel(value)):>7} ", look.palette.grade(value))
        row.append_text(charts.bar(level, 12, look, charts.level_style(level, look)))
        lines.append(row)
    return lines


def quantization(view: View) -> list[Text]:
    """Scale, zero point, range and how many of the codes are used."""
    look, layer, width = view.look, view.layer, view.width
    quant = layer.quant
    if quant is None:
        lines = _note("this tensor is not quantized", view)
    else:
        lines = labelled("codes", quant.dtype, width, look)
        lines += _parameter_lines(quant, look, width)
        lines += _range_lines(view, quant)
    if layer.codes_used is not None and layer.codes_total:
        part = layer.codes_used / layer.codes_total
        row = line(("used".ljust(13), look.palette.dim))
        row.append_text(charts.bar(part, max(min(width - 40, 40), 8), look, look.palette.accent))
        row.append(f" {layer.codes_used} of {layer.codes_total} codes")
        lines.append(row)
    if layer.clipped is not None:
        lines += labelled("clipped", f"{percent(layer.clipped)}", width, look)
    lines += _weight_table(view)
    return lines


def _parameter_lines(quant: QuantInfo, look: Look, width: int) -> list[Text]:
    scales = quant.scale if isinstance(quant.scale, tuple) else (quant.scale,)
    zeros = quant.zero_point if isinstance(quant.zero_point, tuple) else (quant.zero_point,)
    lines = labelled("real", "(code - zero point) x scale", width, look)
    if quant.axis is None:
        lines += labelled("scale", number(scales[0]), width, look)
        return lines + labelled("zero point", str(zeros[0]), width, look)
    low, high = number(min(scales)), number(max(scales))
    lines += labelled("per channel", f"axis {quant.axis}, {len(scales)} scales", width, look)
    lines += labelled("scale", f"{low} .. {high}", width, look)
    return lines + labelled("zero point", f"{min(zeros)} .. {max(zeros)}", width, look)


def _range_lines(view: View, quant: QuantInfo) -> list[Text]:
    if quant.range is None:
        return []
    look, low, high = view.look, *quant.range
    text = f"{number(low)} .. {number(high)} can be represented"
    lines = labelled("range", text, view.width, look)
    seen = view.layer.range_float
    if seen is None:
        return lines
    text = f"{number(seen.min)} .. {number(seen.max)}"
    lines += labelled("float values", text, view.width, look)
    return lines + _range_picture((low, high), (seen.min, seen.max), view)


def _range_picture(codes: tuple[float, float], seen: tuple[float, float], view: View) -> list[Text]:
    """Both ranges on one ruler, so that one sees which is too wide or too narrow."""
    low, high = min(codes[0], seen[0]), max(codes[1], seen[1])
    room = max(min(view.width - 14, 60), 10)
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    lines = []
    styles = (view.look.palette.quant_side, view.look.palette.float_side)
    for name, part, style in zip(("codes", "values"), (codes, seen), styles, strict=True):
        start = int((part[0] - low) / (high - low) * (room - 1))
        end = int((part[1] - low) / (high - low) * (room - 1))
        row = line((name.ljust(13), view.look.palette.dim), " " * start)
        row.append(view.look.glyphs.bar * (end - start + 1), style)
        lines.append(row)
    return lines


def _weight_table(view: View) -> list[Text]:
    weight, look = view.layer.weight, view.look
    if weight is None:
        return []
    worst = weight.worst_channel
    rows: list[list[str | None]] = [
        ["tensor", weight.tensor],
        ["quant tensor", weight.quant_tensor],
        ["shape", look.glyphs.times.join(str(n) for n in weight.shape)],
        ["codes", f"{weight.dtype}, {'per channel' if weight.per_channel else 'per tensor'}"],
        ["SQNR dB", decibel(weight.sqnr_db)],
        [
            "worst channel",
            f"{worst.index} at {decibel(worst.sqnr_db)} dB" if worst else None,
        ],
    ]
    return [blank(), *grid(["weight", ""], rows, view.width, look)]


def _note(text: str, view: View) -> list[Text]:
    return wrap(text, view.width, view.look.glyphs, view.look.palette.dim)
