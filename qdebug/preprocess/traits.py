"""The traits of a pipeline that can be right or wrong, read from its spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qdebug.preprocess.formatting import format_step
from qdebug.preprocess.geometry import Geometry
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import (
    ARITHMETIC,
    GEOMETRIC,
    RESAMPLING,
    Align,
    CenterCrop,
    Crop,
    Decode,
    Flip,
    Layout,
    Letterbox,
    Pad,
    Reinterpret,
    Resampler,
    Resize,
    ResizeShort,
    Rotate,
    Step,
    Yuv,
)

GeometryKind = Literal["stretch", "letterbox", "corner letterbox", "crop", "fit", "none"]


@dataclass(frozen=True)
class Padding:
    """What fills the border of a letterbox."""

    codes: tuple[float, ...]
    """As a pixel value 0..255, one for each channel of the tensor."""
    value: tuple[float, ...]
    """As written in the spec."""
    normalized: bool
    """Whether it is filled in after the normalization."""


@dataclass(frozen=True)
class Traits:
    """One pipeline, trait by trait."""

    decode: Decode
    geometry: GeometryKind
    geometry_text: str
    """The geometric steps, without resampler, padding and orientation."""
    size: tuple[int, int] | None
    resampler: Resampler | None
    padding: Padding | None
    orientation: tuple[int, int, int, int]
    """The 2x2 matrix of all flips and turns."""
    order: str
    affine: Affine
    layout: Layout
    dtype: str
    reinterpreted: str | None
    yuv: Yuv | None
    aligned: tuple[Align, ...]


def traits_of(spec: PreprocessSpec) -> Traits:
    """Read the traits of a spec."""
    yuv, reinterpret = spec.find(Yuv), spec.find(Reinterpret)
    resampling = [s for s in spec.steps if isinstance(s, RESAMPLING)]
    return Traits(
        decode=spec.decode,
        geometry=_kind(spec),
        geometry_text=_geometry_text(spec),
        size=spec.size,
        resampler=resampling[-1].resampler if resampling else None,
        padding=_padding(spec),
        orientation=_orientation(spec.steps),
        order=spec.order if spec.channels == 3 else "gray",
        affine=spec.affine,
        layout=spec.find(Layout) or Layout("nchw"),
        dtype=spec.dtype,
        reinterpreted=reinterpret.dtype if reinterpret else None,
        yuv=yuv,
        aligned=tuple(s for s in spec.steps if isinstance(s, Align)),
    )


def _kind(spec: PreprocessSpec) -> GeometryKind:
    """Classify the geometry by the steps that decide it."""
    if spec.find(CenterCrop) or spec.find(Crop):
        return "crop"
    letterbox = spec.find(Letterbox)
    if letterbox:
        pad = spec.find(Pad)
        anchor = pad.anchor if letterbox.pad is None and pad else letterbox.anchor
        if letterbox.pad is None and pad is None:
            return "fit"
        return "letterbox" if anchor == "center" else "corner letterbox"
    if spec.find(Resize):
        return "stretch"
    return "fit" if spec.find(ResizeShort) else "none"


def _geometry_text(spec: PreprocessSpec) -> str:
    """Write the geometric steps, leaving out what other traits say.

    A letterbox that is padded later counts as the letterbox it amounts to.
    """
    texts: list[str] = []
    pad = spec.find(Pad)
    for step in spec.steps:
        if not isinstance(step, GEOMETRIC) or isinstance(step, Flip | Rotate | Pad):
            continue
        texts.append(_bare(step, pad))
    return " | ".join(texts) or "no resize"


def _bare(step: Step, pad: Pad | None) -> str:
    if isinstance(step, Letterbox):
        anchor = pad.anchor if step.pad is None and pad else step.anchor
        plain = replace(step, pad=(114.0,), resampler=Resampler(), anchor=anchor)
        return format_step(plain).replace(" pad 114", "")
    if isinstance(step, Resize | ResizeShort):
        return format_step(replace(step, resampler=Resampler())).replace(" cv2 linear", "")
    return format_step(step)


def _padding(spec: PreprocessSpec) -> Padding | None:
    """Find the border's value and express it as a pixel."""
    for position, step in enumerate(spec.steps):
        value = _pad_value(step)
        if value is None:
            continue
        before = PreprocessSpec((spec.decode, *_undecoded(spec.steps[:position])))
        affine = before.affine
        values = value * len(affine.gain) if len(value) == 1 else value
        codes = tuple(
            (v - b) / a for v, a, b in zip(values, affine.gain, affine.offset, strict=False)
        )
        if before.order != spec.order and {before.order, spec.order} == {"rgb", "bgr"}:
            codes = codes[::-1]
        normalized = any(isinstance(s, ARITHMETIC) for s in before.steps)
        return Padding(codes, value, normalized)
    return None


def _pad_value(step: Step) -> tuple[float, ...] | None:
    if isinstance(step, Pad):
        return step.value
    return step.pad if isinstance(step, Letterbox) else None


def _undecoded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(s for s in steps if not isinstance(s, Decode))


def _orientation(steps: tuple[Step, ...]) -> tuple[int, int, int, int]:
    """Multiply the matrices of all flips and turns."""
    geometry = Geometry((1, 1), (1, 1))
    for step in steps:
        if isinstance(step, Flip):
            sign = (-1, 1) if step.axis == "horizontal" else (1, -1)
            geometry = geometry.then(sign[0], 0, 0, 0, sign[1], 0)
        elif isinstance(step, Rotate):
            for _ in range(step.degrees // 90):
                geometry = geometry.then(0, -1, 0, 1, 0, 0)
    a, b, _, d, e, _ = (int(np.rint(x)) for x in geometry.matrix)
    return a, b, d, e
