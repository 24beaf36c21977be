"""What a fed tensor is compared with: a picture file, or a reference tensor without its picture."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.apply import prepare, unarrange
from qdebug.preprocess.color import reorder
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.normalization import KNOWN
from qdebug.preprocess.recover.candidates import Candidate, Made, Picture, Rect, geometries
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import Cast, Color, Decode, Layout, Step

_INTEGER_SHARE = 0.02
"""Mean distance to whole codes, in codes, below which values are pixels. Values that are none have
0.25; rounding to float16 makes 0.01. By judgement."""
_LATTICE_SAMPLES = 20000  # by judgement, for time


class Scene(Protocol):
    """Anything that can show what a candidate pipeline would have made."""

    @property
    def has_file(self) -> bool:
        """Whether there is a picture file, so that decoders and resamplers can be told apart."""

    @property
    def is_oriented(self) -> bool:
        """Whether EXIF turns the picture."""

    def size(self, how: Decode) -> Wh:
        """Width and height of the source."""

    def make(self, candidate: Candidate) -> Made | None:
        """Make a candidate's picture; None if it cannot be made."""

    def decoded(self, how: Decode) -> Picture:
        """R, G, B of the source."""

    def candidates(self, how: Decode, target: Wh) -> list[tuple[Step, ...]]:
        """Return the geometries worth trying."""

    def brightness(self, how: Decode) -> NDArray[np.float32]:
        """Mean of the source's channels, [height, width]."""


class TensorScene:
    """A reference tensor, its normalization undone.

    Without the picture the content inside a constant border stands for it, so that another
    geometry can still be told apart, though not its resampler.
    """

    has_file = False
    is_oriented = False

    def __init__(self, tensor: NDArray[Any], spec: PreprocessSpec) -> None:
        values = unarrange(tensor, spec.find(Layout) or Layout("nchw")).astype(np.float32)
        affine = spec.affine
        pixels = (values[..., : len(affine.gain)] - affine.offset) / affine.gain
        rgb = reorder(pixels, spec.order, "rgb").astype(np.float32)
        self._picture: Picture = np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb
        self._content = content_of(self._picture)

    def size(self, how: Decode) -> Wh:  # noqa: ARG002 - nothing is decoded
        """Width and height of the content."""
        x0, y0, x1, y1 = self._content
        return x1 - x0, y1 - y0

    def make(self, candidate: Candidate) -> Made | None:
        """Return the reference itself for no steps, else its content moved by them."""
        if not candidate.steps:
            return Made(self._picture, self._content)
        x0, y0, x1, y1 = self._content
        codes = np.clip(np.rint(self._picture[y0:y1, x0:x1]), 0, 255).astype(np.uint8)
        steps = (Decode("pil"), *candidate.steps, Color("rgb"), Cast("uint8"), Layout("hwc"))
        try:
            made = prepare(codes, "rgb", PreprocessSpec(steps))
        except InputError:
            return None
        height, width = made.tensor.shape[:2]
        return Made(made.tensor, (0, 0, width, height))

    def decoded(self, how: Decode) -> Picture:  # noqa: ARG002 - nothing is decoded
        """The content."""
        x0, y0, x1, y1 = self._content
        return self._picture[y0:y1, x0:x1]

    def candidates(self, how: Decode, target: Wh) -> list[tuple[Step, ...]]:
        """Return the reference itself first, then other geometries of its content."""
        height, width = self._picture.shape[:2]
        same: list[tuple[Step, ...]] = [()] if (width, height) == target else []
        return [*same, *geometries(self.size(how), target)]

    def brightness(self, how: Decode) -> NDArray[np.float32]:  # noqa: ARG002 - nothing is decoded
        """Mean of the content's channels."""
        x0, y0, x1, y1 = self._content
        return np.asarray(self._picture[y0:y1, x0:x1].mean(axis=2), np.float32)


def content_of(picture: Picture) -> Rect:
    """Return the rectangle inside a border of one constant value."""
    height, width = picture.shape[:2]
    rows = np.ptp(picture, axis=1).max(axis=1) > 0
    columns = np.ptp(picture, axis=0).max(axis=1) > 0
    if not rows.any() or not columns.any():
        return 0, 0, width, height
    y0, y1 = int(np.argmax(rows)), height - int(np.argmax(rows[::-1]))
    x0, x1 = int(np.argmax(columns)), width - int(np.argmax(columns[::-1]))
    inner_columns = np.ptp(picture[y0:y1], axis=0).max(axis=1) > 0
    x0, x1 = int(np.argmax(inner_columns)), width - int(np.argmax(inner_columns[::-1]))
    return x0, y0, x1, y1


def guess_affine(values: NDArray[Any]) -> Affine | None:
    """Find the well-known normalization under which a tensor's values are whole pixel codes.

    Args:
        values: [height, width, channels].
    """
    channels = values.shape[2]
    flat = values.reshape(-1, channels)
    step = max(1, len(flat) // _LATTICE_SAMPLES)
    samples = flat[::step].astype(np.float64)
    for mean, std in KNOWN.values():
        codes = samples * std[:channels] + np.array(mean[:channels])
        inside = codes.min() > -0.6 and codes.max() < 255.6 and np.ptp(codes) > 2
        if inside and float(np.abs(codes - np.rint(codes)).mean()) < _INTEGER_SHARE:
            gain = tuple(1 / s for s in std[:channels])
            pairs = zip(mean[:channels], std[:channels], strict=True)
            return Affine(gain, tuple(-m / s for m, s in pairs))
    return None
