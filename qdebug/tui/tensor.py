"""Kept tensors: one channel as a heat map on both sides, single values, float against quant.

Arrays are memory-mapped where the run lies in a folder, read plane by plane, and everything here
runs in a worker that can be cancelled between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.style import Style
from rich.text import Text

from qdebug.errors import RunError
from qdebug.reporters.crops import ShownCrop, shown_crop
from qdebug.run.model import Layer, QuantInfo, Run
from qdebug.run.store import tensor_file
from qdebug.tui.context import Look
from qdebug.tui.lines import blank, grid, line
from qdebug.tui.pictures import Picture, picture_lines, side_by_side
from qdebug.tui.text import wrap
from qdebug.vocabulary.numbers import number

FloatArray = npt.NDArray[np.float64]
Cancelled = Callable[[], bool]

_CHUNK = 1 << 18
_SCATTER = 1 << 21
_ANCHORS = np.array(
    [(0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56)]
)
"""Cividis, thinned: brightness rises steadily, and it reads the same for the colour-blind."""


@dataclass(frozen=True)
class Place:
    """What of a tensor is looked at; numbers wrap around and are brought into range on reading."""

    sample: int = 0
    channel: int = 0
    y: int = 0
    x: int = 0
    scatter: bool = False


@dataclass(frozen=True)
class Plane:
    """Rows and columns of one sample on both sides.

    Attributes:
        place: the value looked at.
        where: the plane in words.
        float: float64 ``[rows, columns]``.
        quant: the same.
        crop: how a crop is coloured; None for kept tensors, whose plane is a whole channel.
    """

    place: Place
    where: str
    float: FloatArray
    quant: FloatArray
    crop: ShownCrop | None = None


@dataclass(frozen=True)
class Scatter:
    """Float against quant values of a layer: counts ``[bins, bins]``, quant down, float across."""

    counts: FloatArray
    low: float
    high: float
    used: int
    total: int


def kept_samples(run: Run, layer: Layer) -> list[int]:
    """Samples whose values of a layer are in the run.

    Raises:
        RunError: none are.
    """
    names = set(run.files.names())
    count = max(len(run.samples), 1)
    kept = [k for k in range(count) if tensor_file("float", layer.index, k) in names]
    if not kept:
        raise RunError(f"the run lacks the kept tensors of layer {layer.index}")
    return kept


def _both_sides(run: Run, layer: Layer, sample: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    one = run.files.array(tensor_file("float", layer.index, sample))
    other = run.files.array(tensor_file("quant", layer.index, sample))
    if one.shape != other.shape:
        shapes = f"{one.shape} and {other.shape}"
        raise RunError(f"the kept tensors of layer {layer.index} have the shapes {shapes}")
    return one, other


def read_plane(run: Run, layer: Layer, place: Place) -> Plane:
    """One channel of one sample of both sides.

    Raises:
        RunError: the tensors are missing, damaged, or of different shapes.
    """
    kept = kept_samples(run, layer)
    sample = kept[place.sample % len(kept)]
    values: list[npt.NDArray[Any]] = list(_both_sides(run, layer, sample))
    axis, channels, channel = layer.channel_axis, 1, 0
    if axis is not None and values[0].ndim > 1:
        axis %= values[0].ndim
        channels = values[0].shape[axis]
        channel = place.channel % max(channels, 1)
        values = [np.take(value, channel, axis) for value in values]
    planes = [_as_plane(value) for value in values]
    rows, columns = planes[0].shape
    where = Place(sample, channel, place.y % max(rows, 1), place.x % max(columns, 1), place.scatter)
    name = run.samples[sample].name if sample < len(run.samples) else ""
    told = f"channel {channel} of {channels}, sample {name}"
    return Plane(where, told, planes[0], planes[1])


def read_crop_plane(run: Run, layer: Layer, place: Place) -> Plane:
    """The few values that a run keeps of a layer by default.

    Raises:
        RunError: there are none, or they are damaged.
    """
    crop = shown_crop(run, layer)
    if crop is None:
        raise RunError(f"the run lacks the kept values of layer {layer.index}")
    rows, columns = crop.reference.shape
    where = Place(0, 0, place.y % rows, place.x % columns, place.scatter)
    return Plane(where, f"a crop: {crop.where}", *crop.folded_values, crop)


def read_crop_scatter(run: Run, layer: Layer, bins: int) -> Scatter | None:
    """Float against quant of the same few values, scaled as the heat maps are.

    Raises:
        RunError: they are damaged.
    """
    crop = shown_crop(run, layer)
    if crop is None:
        return None
    used = int(np.count_nonzero(np.isfinite(crop.reference)))
    return Scatter(crop.density(bins)[::-1], -1.0, 1.0, used, used)


def _as_plane(values: npt.NDArray[Any]) -> FloatArray:
    """Any shape as rows and columns: leading axes are stacked, a vector is folded to a square."""
    plane = np.asarray(values, np.float64)
    if plane.ndim < 2 or plane.size == max(plane.shape, default=1):
        flat = plane.reshape(-1)
        columns = max(int(np.ceil(np.sqrt(flat.size))), 1)
        padded = np.full(-(-flat.size // columns) * columns, np.nan)
        padded[: flat.size] = flat
        return padded.reshape(-1, columns)
    return plane.reshape(-1, plane.shape[-1])


def read_scatter(
    run: Run, layer: Layer, bins: int, cancelled: Cancelled = lambda: False
) -> Scatter | None:
    """Counts of (float, quant) pairs over all samples, an even part of very large tensors.

    Returns:
        None when it was cancelled.

    Raises:
        RunError: as ``read_plane``.
    """
    pairs = [_both_sides(run, layer, sample) for sample in kept_samples(run, layer)]
    total = sum(one.size for one, _ in pairs)
    step = max(total // _SCATTER, 1)
    low, high = np.inf, -np.inf
    for parts in _chunks(pairs, step):
        if cancelled():
            return None
        for part in parts:
            finite = part[np.isfinite(part)]
            if len(finite):
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not low < high:
        low, high = (low - 0.5, low + 0.5) if np.isfinite(low) else (0.0, 1.0)
    counts, used = np.zeros((bins, bins)), 0
    for f, q in _chunks(pairs, step):
        if cancelled():
            return None
        counts += np.histogram2d(q, f, bins, ((low, high), (low, high)))[0]
        used += len(f)
    return Scatter(counts, low, high, used, total)


def _chunks(
    pairs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]], step: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Both sides in pieces of bounded size, every ``step``-th value."""
    for one, other in pairs:
        flat = one.reshape(-1), other.reshape(-1)
        for start in range(0, one.size, _CHUNK * step):
            f, q = (side[start : start + _CHUNK * step : step] for side in flat)
            yield np.asarray(f, np.float64), np.asarray(q, np.float64)


def plane_lines(plane: Plane, layer: Layer, width: int, height: int, look: Look) -> list[Text]:
    """Heat maps of float, quant and their difference, and the values around the inspector."""
    f, q = (
        (plane.crop.reference, plane.crop.test)
        if plane.crop is not None
        else (plane.float, plane.quant)
    )
    difference = np.abs(q - f)
    room = max((width - 4) // 3, 8)
    lines_room = max(min(height - 9, room // 2), 4)
    finite = f[np.isfinite(f)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    largest = float(np.nanmax(difference, initial=0.0))
    parts = []
    for name, values, ends in (
        ("float", f, (low, high)),
        ("quant", q, (low, high)),
        ("difference", difference, (0.0, largest)),
    ):
        drawn = picture_lines(_stretched(colour_map(values, *ends)), room, lines_room, look)
        parts.append((name, _with_cursor(drawn, plane)))
    if plane.crop is not None:
        scale = plane.crop.scale
    else:
        scale = f"{number(low)} .. {number(high)}, difference up to {number(largest)}"
    lines = wrap(f"{plane.where}: {scale}", width, look.glyphs, look.palette.dim)
    lines += side_by_side(parts, room, look)
    return [*lines, blank(), *_inspector(plane, layer.quant, width, look)]


def _stretched(picture: Picture) -> Picture:
    """A few rows or columns repeated, so that one sees them beside many of the others."""
    rows, columns = picture.shape[:2]
    across = max(rows // (2 * max(columns, 1)), 1)
    down = max(columns // (2 * max(rows, 1)), 1)
    stretched: Picture = picture.repeat(down, axis=0).repeat(across, axis=1)
    return stretched


def colour_map(values: FloatArray, low: float, high: float) -> Picture:
    """A plane as a picture, dark for ``low`` to bright for ``high``; NaN is black."""
    span = high - low
    level = np.clip((values - low) / span, 0, 1) if span > 0 else np.zeros_like(values)
    at = np.nan_to_num(level) * (len(_ANCHORS) - 1)
    base = np.minimum(at.astype(int), len(_ANCHORS) - 2)
    part = (at - base)[..., np.newaxis]
    colours = _ANCHORS[base] * (1 - part) + _ANCHORS[base + 1] * part
    colours[np.isnan(values)] = 0
    picture: Picture = colours.astype(np.uint8)
    return picture


def _with_cursor(drawn: list[Text], plane: Plane) -> list[Text]:
    rows, columns = plane.float.shape
    if not drawn or not rows or not columns:
        return drawn
    y = min(plane.place.y * len(drawn) // rows, len(drawn) - 1)
    x = min(plane.place.x * drawn[y].cell_len // columns, drawn[y].cell_len - 1)
    row = drawn[y]
    marked = row[:x]
    marked.append("+", Style(bold=True, reverse=True))
    marked.append_text(row[x + 1 :])
    return [*drawn[:y], marked, *drawn[y + 1 :]]


def _inspector(plane: Plane, quant: QuantInfo | None, width: int, look: Look) -> list[Text]:
    """The value under the cursor on both sides, its code, and its neighbours in the row."""
    y, x = plane.place.y, plane.place.x
    f, q = float(plane.float[y, x]), float(plane.quant[y, x])
    glyphs = look.glyphs
    text = f"row {y}, column {x}: float {number(f)}, quant {number(q)}"
    text += f", difference {number(q - f)}"
    if quant is not None and not isinstance(quant.scale, tuple) and quant.scale:
        text += f" ({(q - f) / quant.scale:+.1f} steps)"
    shown = max((width - 10) // 11, 1)
    start = max(min(x - shown // 2, plane.float.shape[1] - shown), 0)
    across = range(start, min(start + shown, plane.float.shape[1]))
    rows = [
        [name, *(round_off(values[y, c]) for c in across)]
        for name, values in (("float", plane.float), ("quant", plane.quant))
    ]
    heads = ["column", *(f"[{c}]" if c == x else str(c) for c in across)]
    hint = "Ctrl-arrows and Alt-up/down move, . and , change the channel, i the sample, v scatter"
    if plane.crop is not None:
        hint = (
            "Ctrl-arrows and Alt-up/down move, v scatter; --keep-tensors worst:20 keeps whole "
            "tensors of every sample"
        )
    return [
        *wrap(text, width, glyphs, look.palette.bold),
        *grid(heads, rows, width, look),
        *wrap(hint, width, glyphs, look.palette.dim),
    ]


def round_off(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def scatter_lines(scatter: Scatter, width: int, height: int, look: Look) -> list[Text]:
    """Density of quant (up) over float (across); the diagonal is where they agree."""
    bins = len(scatter.counts)
    levels = np.log1p(scatter.counts[::-1])
    top = float(levels.max()) or 1.0
    columns = max(min(width - 4, 2 * (height - 5), 100), 16)
    picture = colour_map(levels, 0.0, top)
    diagonal = np.arange(bins)
    empty = scatter.counts[::-1][bins - 1 - diagonal, diagonal] == 0
    picture[bins - 1 - diagonal[empty], diagonal[empty]] = (120, 120, 120)
    glyphs = look.glyphs
    ends = f"{number(scatter.low)} .. {number(scatter.high)} on both axes"
    note = f"{scatter.used:,} of {scatter.total:,} values, brighter is more (log)"
    return [
        *wrap(f"quant (up) over float (across), {ends}", width, glyphs, look.palette.bold),
        *picture_lines(picture, columns, columns // 2, look),
        *wrap(note, width, glyphs, look.palette.dim),
        line(("v goes back to the heat map", look.palette.dim)),
    ]
