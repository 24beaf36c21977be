"""The few kept values of a layer as pictures: three heat maps and a scatter of quant over float."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from qdebug.errors import RunError
from qdebug.reporters.crops import FloatArray, ShownCrop, shown_crop
from qdebug.reporters.html import svg
from qdebug.reporters.html.pictures import Picture, Pictures
from qdebug.reporters.text import layer_label
from qdebug.run.model import Layer, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import number

Pixels = npt.NDArray[np.uint8]

_BINS = 64
_SIDE, _FLATTEST = 200.0, 0.5
_NEGATIVE, _ZERO, _POSITIVE, _NOTHING = (
    np.array(colour, np.float64)
    for colour in ((180, 83, 9), (244, 244, 240), (11, 92, 173), (120, 120, 120))
)
"""Orange below zero, blue above, and grey where there is no number: told apart by the
colour-blind."""
_DOT = (43, 125, 206)


def crop_figure(run: Run, layer: Layer, pictures: Pictures) -> Markup | None:
    """The figure of a layer; None where the run keeps none of its values."""
    try:
        crop = shown_crop(run, layer)
    except RunError as error:
        return svg.tag("p", error.message, class_="note")
    if crop is None:
        return None
    name = layer_label(layer)
    most = crop.largest_difference
    maps = (
        ("float", crop.reference, 1.0, "float"),
        ("quant", crop.test, 1.0, "quant"),
        ("difference", crop.difference, most or 1.0, _difference_label(most)),
    )
    shown = [
        _panel(pictures.made(f"crop {layer.index} {key}", _coloured(plane, largest)), name, label)
        for key, plane, largest, label in maps
    ]
    shown.append(_scatter(pictures.made(f"crop {layer.index} scatter", _dots(crop)), name))
    note = f"Blue is above zero, orange below; {crop.scale}."
    return svg.tag(
        "figure",
        svg.tag("figcaption", f"Values: {visible(crop.where)}"),
        svg.tag("div", *shown, class_="pictures crop"),
        svg.tag("p", note, class_="note"),
        class_="evidence wide",
    )


def _difference_label(most: float) -> str:
    return f"difference, up to {number(100 * most)} % of the largest" if most else "no difference"


def _panel(picture: Picture, name: str, label: str) -> Markup:
    """A heat map as wide as the others; a few rows or columns are stretched to be seen."""
    high = min(max(_SIDE * picture.height / picture.width, _SIDE * _FLATTEST), _SIDE)
    stretch = f"scale({_SIDE / picture.width:.4g} {high / picture.height:.4g})"
    inside = svg.tag("g", picture.use, transform=stretch)
    drawn = svg.figure(f"{label}, {name}", _SIDE, high, inside, class_="picture")
    return svg.tag("div", drawn, svg.tag("span", label))


def _coloured(plane: FloatArray, largest: float) -> Pixels:
    level = np.clip(plane / largest, -1, 1)[..., np.newaxis]
    end = np.where(level < 0, _NEGATIVE, _POSITIVE)
    colours = _ZERO + (end - _ZERO) * np.abs(np.nan_to_num(level))
    colours[~np.isfinite(plane)] = _NOTHING
    # Few shades: the eye tells no more apart, and the file is half as large.
    return np.asarray(np.round(colours / 4) * 4).clip(0, 255).astype(np.uint8)


def _dots(crop: ShownCrop) -> Pixels:
    """Density as opacity, so that it stands on any background; RGBA."""
    counts = crop.density(_BINS)
    level = np.log1p(counts) / max(float(np.log1p(counts).max()), 1.0)
    alpha = np.where(counts > 0, 90 + 165 * level, 0)
    pixels = np.empty((*counts.shape, 4))
    pixels[..., :3], pixels[..., 3] = _DOT, alpha
    return pixels.astype(np.uint8)


def _scatter(picture: Picture, name: str) -> Markup:
    inside = svg.tag("g", picture.use, transform=f"scale({_SIDE / picture.width:g})")
    middle = _SIDE / 2
    drawn = svg.figure(
        f"quant over float, {name}",
        _SIDE,
        _SIDE,
        svg.rule(middle, 0, middle, _SIDE),
        svg.rule(0, middle, _SIDE, middle),
        svg.rule(0, _SIDE, _SIDE, 0, stroke=svg.TEAL, class_="s2", stroke_dasharray="4 3"),
        inside,
        class_="picture",
    )
    label = "quant (up) over float (across); equal on the dashed line"
    return svg.tag("div", drawn, svg.tag("span", label))
