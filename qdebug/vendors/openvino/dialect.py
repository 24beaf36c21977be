"""OpenVINO: ``mean_values``, ``scale_values`` and ``reverse_input_channels`` of the converter."""

from __future__ import annotations

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Color, Layout
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    affine_steps,
    numbers_of,
    pairs,
    require,
    simplified,
)

_KEYS = ("mean_values", "scale_values", "scale", "reverse_input_channels")


def read(text: str) -> Reading:
    """Read ``--mean_values [..] --scale_values [..] --reverse_input_channels``."""
    settings = pairs(text)
    require(settings, _KEYS, "OpenVINO")
    std = numbers_of(settings, "scale_values", "scale")
    reverse = "reverse_input_channels" in settings
    arithmetic = affine_steps(numbers_of(settings, "mean_values"), std)
    spec = PreprocessSpec((Color("rgb"), *arithmetic, Layout("nchw")))
    notes = ["mean and scale are put into the graph: feed pixels 0..255 at runtime"]
    if reverse:
        notes.append("the graph reverses the channels: feed B,G,R at runtime")
    else:
        notes.append("the channel order is not reversed: R,G,B is assumed")
    runtime = PreprocessSpec((Color("bgr" if reverse else "rgb"), Layout("nchw")))
    return Reading(spec, tuple(notes), runtime)


def write(spec: PreprocessSpec) -> str | None:
    """Write the converter's options; the geometry is the user's."""
    simple = simplified(spec)
    if simple is None or simple.channels != 3:
        return None
    return f"--mean_values [{simple.means()}] --scale_values [{simple.stds()}]"


DIALECT = Dialect("OpenVINO converter options", read, write)
