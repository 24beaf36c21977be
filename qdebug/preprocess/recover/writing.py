"""Writing a recovered pipeline as a spec."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdebug.preprocess.recover.border import Border
from qdebug.preprocess.recover.fit import ChannelFit
from qdebug.preprocess.recover.numbers import arithmetic, cast_step
from qdebug.preprocess.recover.search import Match
from qdebug.preprocess.recover.tones import Tone
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import (
    Cast,
    Color,
    Decode,
    Letterbox,
    Offset,
    Pad,
    Step,
    Yuv,
)

_SAME_CODES = 0.3
"""Pixel codes by which a border's channels may differ and be one value, as in `border`."""


@dataclass(frozen=True)
class Fitted:
    """A match and its fit, with the colour standard that it needs, if any."""

    match: Match
    fit: ChannelFit
    affine: Affine
    """The fit's gain and offset, settled to plain numbers where they agree."""
    yuv: Yuv | None = None
    tone: Tone | None = None
    """A curve that no step of a spec writes."""
    rivals: tuple[str, ...] = ()
    """What explains the values as well as the standard or the curve."""


def write_spec(
    fitted: Fitted,
    border: Border | None,
    reference: PreprocessSpec | None,
    dtype: np.dtype[np.generic],
    error: float,
) -> PreprocessSpec:
    """Write the chain that was found; what does not show is the reference's.

    Args:
        fitted: the match, its gain and offset.
        border: what fills the border, None if there is none.
        reference: the pipeline that should have made the tensor.
        dtype: data type of the tensor.
        error: rounding of that data type, in pixel codes.
    """
    match, fit = fitted.match, fitted.fit
    color = _color(match, fit)
    alike = reference if reference and len(reference.affine.gain) == len(fit.gain) else None
    numbers = arithmetic(fitted.affine, alike, error)
    geometry, late = _padded(_moves(match, reference), border, reference)
    before: tuple[Step, ...] = (*geometry, color)
    if any(isinstance(s, Letterbox) and s.pad and len(s.pad) > 1 for s in geometry):
        before = (color, *geometry)
    yuv = (fitted.yuv,) if fitted.yuv else ()
    decode = (match.candidate.decode,) if match.candidate.decode != _default(geometry) else ()
    ending = _ending(match, numbers, late, dtype)
    return PreprocessSpec((*decode, *before, *yuv, *ending, *match.view.aligned, match.view.layout))


def _color(match: Match, fit: ChannelFit) -> Color:
    if match.gray or len(fit.source) == 1:
        return Color("gray", len(fit.source))
    return Color("bgr" if fit.is_swapped else "rgb")


def _ending(
    match: Match,
    numbers: tuple[Step, ...],
    late: tuple[Step, ...],
    dtype: np.dtype[np.generic],
) -> tuple[Step, ...]:
    """Return the arithmetic and the data type, with a misread sign before it."""
    cast = cast_step(dtype)
    if match.sign is None:
        return (*numbers, *late, *cast)
    written: tuple[Step, ...] = (Cast("uint8"),)
    if match.sign.dtype == "uint8":
        written = (Offset(-128), Cast("int8"))
    if cast == (Cast(match.sign.dtype),):
        cast = ()
    elif not cast:
        cast = (Cast("float32"),)
    return (*written, match.sign, *numbers, *late, *cast)


def _moves(match: Match, reference: PreprocessSpec | None) -> tuple[Step, ...]:
    """Return the geometric steps; those of a reference tensor are the reference's own."""
    steps = match.candidate.steps
    if not steps and reference:
        steps = reference.geometry
    return (*steps, *match.orientation.steps)


def _padded(
    steps: tuple[Step, ...], border: Border | None, reference: PreprocessSpec | None
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the geometric steps with the border's value, and the padding that comes late."""
    box = next((s for s in steps if isinstance(s, Letterbox)), None)
    late = next((s for s in steps if isinstance(s, Pad)), None)
    if box is None:
        return steps, ()
    if border is None or not border.constant:
        return _as_declared(steps, reference)
    anchor = late.anchor if late else box.anchor
    rest = tuple(s for s in steps if not isinstance(s, Pad))
    if border.is_pixel:
        codes = tuple(round(c, 3) for c in border.codes)
        pad = codes[:1] if max(codes) - min(codes) <= _SAME_CODES else codes
        return _with_box(rest, replace(box, pad=pad, anchor=anchor)), ()
    value = tuple(round(v, 6) + 0.0 for v in border.value)
    uniform = value[:1] if max(value) - min(value) <= 1e-5 else value
    fit_only = replace(box, pad=None, anchor="center")
    return _with_box(rest, fit_only), (Pad(box.size, uniform, anchor),)


def _as_declared(
    steps: tuple[Step, ...], reference: PreprocessSpec | None
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Keep the reference's padding where the border cannot be read."""
    rest = tuple(s for s in steps if not isinstance(s, Pad))
    if reference is None:
        return rest, ()
    late = tuple(s for s in reference.steps if isinstance(s, Pad))
    box = next(s for s in rest if isinstance(s, Letterbox))
    declared = reference.find(Letterbox)
    pad = declared.pad if declared else box.pad
    return _with_box(rest, replace(box, pad=pad)), late


def _with_box(steps: tuple[Step, ...], box: Letterbox) -> tuple[Step, ...]:
    return tuple(box if isinstance(s, Letterbox) else s for s in steps)


def _default(steps: tuple[Step, ...]) -> Decode:
    return PreprocessSpec((*steps, Color("rgb"))).decode
