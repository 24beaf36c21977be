"""Pictures that a pipeline could have made of the source, before any arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.apply import prepare
from qdebug.preprocess.decode import decode_bytes
from qdebug.preprocess.geometry import Box, Geometry, Wh, letterbox_box
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    FILTERS,
    RESAMPLING,
    Cast,
    CenterCrop,
    Color,
    Decode,
    Layout,
    Letterbox,
    Resampler,
    Resize,
    ResizeShort,
    Rounding,
    Step,
)

Picture = NDArray[Any]
"""[height, width, 3], R, G, B on 0..255."""
Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1."""

# Shares of the shorter side that a crop keeps, as in timm's configurations.
_CROP_SHARES = (1.0, 0.875, 0.9, 0.95, 0.96, 0.965, 0.94, 0.93, 0.85, 0.8)
_ROUNDINGS: tuple[Rounding, ...] = ("round", "floor", "ceil")
_KEPT = 64  # pictures made for a scene and held; by judgement, for memory
RESAMPLERS = tuple(Resampler(lib, name) for lib, names in FILTERS.items() for name in names)


@dataclass(frozen=True)
class Candidate:
    """A decoder and a geometry."""

    decode: Decode
    steps: tuple[Step, ...]

    @property
    def resampler(self) -> Resampler | None:
        """The resampling filter, if the picture is resized."""
        found = [s.resampler for s in self.steps if isinstance(s, RESAMPLING)]
        return found[-1] if found else None

    def with_resampler(self, resampler: Resampler) -> Candidate:
        """Return the same geometry with another filter."""
        steps = (
            replace(s, resampler=resampler) if isinstance(s, RESAMPLING) else s for s in self.steps
        )
        return Candidate(self.decode, tuple(steps))


@dataclass(frozen=True)
class Made:
    """A candidate's picture and where the source's content lies in it."""

    picture: Picture
    content: Rect


@dataclass
class Source:
    """A picture file, decoded and resized on demand."""

    content: bytes
    name: str
    _made: dict[Candidate, Made | None] = field(default_factory=dict)
    _decoded: dict[Decode, Picture] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a picture file.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return cls(path.read_bytes(), path.name)
        except OSError as error:
            reason = f"{path} cannot be read: {error.strerror or error}"
            raise InputError(reason, "give the file of the picture") from error

    has_file = True

    def candidates(self, how: Decode, target: Wh) -> list[tuple[Step, ...]]:
        """Return the geometries worth trying for a tensor of this size."""
        return list(geometries(self.size(how), target))

    @property
    def is_oriented(self) -> bool:
        """Whether the file carries an EXIF orientation that changes the picture."""
        return _exif_orientation(self.content) != 1

    def decoded(self, how: Decode) -> Picture:
        """Decode to R, G, B."""
        if how not in self._decoded:
            picture = decode_bytes(self.content, how, self.name)
            rgb = picture if how.library == "pil" else picture[..., ::-1]
            self._decoded[how] = np.ascontiguousarray(rgb)
        return self._decoded[how]

    def size(self, how: Decode) -> Wh:
        """Width and height of the decoded picture."""
        height, width = self.decoded(how).shape[:2]
        return width, height

    def brightness(self, how: Decode) -> NDArray[np.float32]:
        """Mean of the decoded picture's channels, [height, width]."""
        return np.asarray(self.decoded(how).mean(axis=2), np.float32)

    def make(self, candidate: Candidate) -> Made | None:
        """Make a candidate's picture; None if its steps cannot be carried out."""
        if candidate not in self._made:
            if len(self._made) >= _KEPT:
                self._made.pop(next(iter(self._made)))
            decoded = self.decoded(candidate.decode)
            self._made[candidate] = self.made_of(decoded, candidate)
        return self._made[candidate]

    def made_of(self, decoded: Picture, candidate: Candidate) -> Made | None:
        """Make a candidate of another picture than the file's; None if it cannot be made."""
        resampler = candidate.resampler
        kept: tuple[Step, ...] = (
            () if resampler and resampler.library == "float" else (Cast("uint8"),)
        )
        steps = (Decode("pil"), *candidate.steps, Color("rgb"), *kept, Layout("hwc"))
        try:
            made = prepare(decoded, "rgb", PreprocessSpec(steps))
        except InputError:
            return None
        return Made(made.tensor, _content(made.geometry))


@lru_cache(maxsize=8)
def _exif_orientation(content: bytes) -> int:
    import io

    from PIL import Image

    try:
        return int(Image.open(io.BytesIO(content)).getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError):
        return 1


def _content(geometry: Geometry) -> Rect:
    """Where the source's picture lies in the tensor, in whole pixels."""
    corners = np.array([[0, 0], geometry.source], np.float64)
    a, b, c, d, e, f = geometry.matrix
    placed = corners @ np.array([[a, d], [b, e]]) + (c, f)
    low, high = placed.min(axis=0), placed.max(axis=0)
    width, height = geometry.target
    x0, y0 = (max(0, round(v)) for v in low)
    return x0, y0, min(width, round(high[0])), min(height, round(high[1]))


def geometries(source: Wh, target: Wh) -> Iterator[tuple[Step, ...]]:
    """Yield the usual ways to bring a picture to a size, the commonest first."""
    yield (Letterbox(target),)
    yield (Resize(target),)
    yield (Letterbox(target, anchor="top-left"),)
    if source[0] < target[0] and source[1] < target[1]:
        yield (Letterbox(target, upscale=False),)
        yield (Letterbox(target, upscale=False, anchor="top-left"),)
    for side in _short_sides(target):
        yield (ResizeShort(side), CenterCrop(target))
    if source[0] >= target[0] and source[1] >= target[1]:
        yield (CenterCrop(target),)
    if target[0] != target[1]:
        yield (Resize((target[1], target[0])),)


def _short_sides(target: Wh) -> list[int]:
    """Return the shorter sides from which crops of this size are usually cut."""
    longest = max(target)
    sides = [int(longest / share) for share in _CROP_SHARES]
    return list(dict.fromkeys([*sides, longest + 32, round(longest * 232 / 224)]))


def roundings(steps: tuple[Step, ...], source: Wh) -> list[tuple[Step, ...]]:
    """Return a letterbox with every rounding rule that gives another box, itself first."""
    step = steps[0]
    if not isinstance(step, Letterbox) or len(steps) > 1:
        return [steps]
    variants = [step, *(replace(step, rounding=rule) for rule in _ROUNDINGS)]
    boxes: dict[Box, Letterbox] = {}
    for variant in variants:
        boxes.setdefault(letterbox_box(source, variant), variant)
    return [(variant,) for variant in boxes.values()]


def crop_roundings(candidate: Candidate) -> list[Candidate]:
    """Return a crop of a scaled picture under the other rounding rules of both steps."""
    short, *rest = candidate.steps
    if not isinstance(short, ResizeShort) or len(rest) != 1 or not isinstance(rest[0], CenterCrop):
        return []
    crops = (rest[0], replace(rest[0], rounding="floor"), replace(rest[0], rounding="round"))
    pairs = [(replace(short, rounding=rule), crop) for rule in _ROUNDINGS for crop in crops]
    return [replace(candidate, steps=pair) for pair in dict.fromkeys(pairs)]
