"""Finding the reading, orientation, geometry and value map under which a tensor is the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.color import to_gray
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.recover.candidates import (
    RESAMPLERS,
    Candidate,
    Made,
    Rect,
    roundings,
)
from qdebug.preprocess.recover.crops import shorter_side
from qdebug.preprocess.recover.fit import ChannelFit, correlation, fit_channels
from qdebug.preprocess.recover.scene import Scene
from qdebug.preprocess.recover.storage import View, contradicting_views, sheared_views
from qdebug.preprocess.steps import (
    CenterCrop,
    Decode,
    Flip,
    Reinterpret,
    ResizeShort,
    Rotate,
    Step,
)

Values = NDArray[Any]

_COARSE_SAMPLES = 3000
_FINE_SAMPLES = 20000
GOOD_SCORE = 0.9
"""Correlation above which a reading is taken as found and no further ones are tried."""
_HOPELESS = 0.5
_SURE = 0.97
_AS_IT_IS = 0.02
"""Added to the score of the reference tensor as it stands, so that its content in another geometry
must fit clearly better to be taken instead. By judgement."""
_NEARBY = 4

SIGN_MAPS: dict[str, Callable[[Values], Values]] = {
    "int8": lambda p: np.where(p >= 128, p - 256.0, p),
    "uint8": lambda p: np.where(p < 128, p + 128.0, p - 128.0),
}
"""What becomes of a pixel code whose byte is read as int8, or pixel minus 128 as uint8."""


@dataclass(frozen=True)
class Orientation:
    """Flips and turns behind the geometry, and how to undo them on [height, width, channels]."""

    steps: tuple[Step, ...]
    undo: Callable[[Values], Values]


ORIENTATIONS = (
    Orientation((), lambda v: v),
    Orientation((Flip("horizontal"),), lambda v: v[:, ::-1]),
    Orientation((Flip("vertical"),), lambda v: v[::-1]),
    Orientation((Rotate(180),), lambda v: v[::-1, ::-1]),
    Orientation((Rotate(90),), lambda v: np.rot90(v, 1)),
    Orientation((Rotate(270),), lambda v: np.rot90(v, -1)),
    Orientation((Rotate(90), Flip("horizontal")), lambda v: v.transpose(1, 0, 2)),
    Orientation((Rotate(270), Flip("horizontal")), lambda v: v[::-1, ::-1].transpose(1, 0, 2)),
)
UPRIGHT = ORIENTATIONS[:1]


@dataclass(frozen=True)
class Match:
    """One explanation of the fed tensor, up to gain and offset."""

    view: View
    orientation: Orientation
    candidate: Candidate
    sign: Reinterpret | None = None
    gray: bool = False
    score: float = 0.0


class Search:
    """The search for one fed tensor in one scene."""

    def __init__(
        self,
        scene: Scene,
        decode: Decode,
        reference: Candidate | None,
        preferred: tuple[int, ...],
    ) -> None:
        self.scene = scene
        self.decode = decode
        self.reference = reference
        self.preferred = preferred

    def coarse(self, views: list[View], fed: Values, size: Wh | None) -> Match | None:
        """Find the best reading, orientation and geometry by correlation of brightness."""
        best: Match | None = None
        for stage in self._stages(views, fed, size):
            for match in stage:
                if best is None or match.score > best.score:
                    best = match
            best = self._cropped(best) if best else None
            if best and best.score >= GOOD_SCORE:
                return best
        return best if best and best.score >= _HOPELESS else None

    def _stages(self, views: list[View], fed: Values, size: Wh | None) -> Iterator[Iterable[Match]]:
        """Yield ever less likely readings: as labelled, relabelled, misread signs, sheared."""
        yield (m for view in views for m in self._scored(view, ORIENTATIONS))
        sizes = [size] if size else list({_size_of(view.values) for view in views})
        for one in sizes:
            relabelled = list(contradicting_views(fed, one))
            yield (m for view in relabelled for m in self._scored(view, ORIENTATIONS))
        for name in ("int8", "uint8"):
            sign = Reinterpret("int8" if name == "int8" else "uint8")
            yield (m for view in views for m in self._scored(view, UPRIGHT, sign))
        for one in sizes:
            yield (m for view in sheared_views(fed, one) for m in self._scored(view, UPRIGHT))

    def _scored(
        self, view: View, orientations: Iterable[Orientation], sign: Reinterpret | None = None
    ) -> Iterator[Match]:
        for orientation in orientations:
            upright = orientation.undo(view.values)
            for candidate in self._candidates(_size_of(upright)):
                made = self.scene.make(candidate)
                if made and made.picture.shape[:2] == upright.shape[:2]:
                    score = _score(upright, made, sign)
                    if not candidate.steps:
                        score = min(1.0, score + _AS_IT_IS)
                    yield Match(view, orientation, candidate, sign, score=score)

    def _candidates(self, target: Wh) -> list[Candidate]:
        """Return the reference's own geometry and the usual ones, with and without EXIF."""
        found = [self.reference] if self.reference else []
        decodes = [self.decode]
        if self.scene.is_oriented:
            decodes.append(replace(self.decode, exif=not self.decode.exif))
            if self.reference:
                found.append(replace(self.reference, decode=decodes[1]))
        for how in decodes:
            found += [Candidate(how, steps) for steps in self.scene.candidates(how, target)]
        return list(dict.fromkeys(found))

    def fit(self, match: Match) -> ChannelFit | None:
        """Fit gain and offset a channel inside the picture's content."""
        made = self.scene.make(match.candidate)
        if made is None:
            return None
        upright = match.orientation.undo(match.view.values)
        if made.picture.shape[:2] != upright.shape[:2]:
            return None
        ys, xs = positions(made.content, _FINE_SAMPLES)
        codes = mapped(made.picture[ys, xs], match)
        return fit_channels(upright[ys, xs], codes, self.preferred)

    def refine(self, match: Match) -> Match:
        """Settle the rounding of the geometry, the crop, and the resampling filter."""
        best = self._best([replace(match, candidate=c) for c in self._variants(match)])
        return self._best([best, *self.filters(best)])

    def filters(self, match: Match) -> Iterator[Match]:
        """Yield a match that resembles the picture at all with each resampling filter."""
        made = self.scene.make(match.candidate)
        upright = match.orientation.undo(match.view.values)
        if not self.scene.has_file or match.candidate.resampler is None or made is None:
            return
        if made.picture.shape[:2] != upright.shape[:2]:
            return
        if _score(upright, made, match.sign) >= _HOPELESS:
            for resampler in RESAMPLERS:
                yield replace(match, candidate=match.candidate.with_resampler(resampler))

    def _variants(self, match: Match) -> list[Candidate]:
        candidate = match.candidate
        source = self.scene.size(candidate.decode)
        if not candidate.steps:
            return [candidate]
        short = candidate.steps[0]
        if isinstance(short, ResizeShort):
            sides = (short.side + extra for extra in (0, -2, -1, 1, 2))
            return [self._at_side(match, candidate, side).candidate for side in sides if side > 0]
        return [replace(candidate, steps=steps) for steps in roundings(candidate.steps, source)]

    def _cropped(self, match: Match) -> Match:
        """Search the shorter side from which a centre crop was cut, where no usual one fits."""
        upright = match.orientation.undo(match.view.values)
        if match.score >= _SURE or not np.isfinite(upright).all():
            return match
        target = _size_of(upright)
        crop = (ResizeShort(max(target)), CenterCrop(target))
        candidate = Candidate(match.candidate.decode, crop)
        brightness = self.scene.brightness(candidate.decode)
        near = shorter_side(brightness, upright, target)
        sides = range(max(*target, near - _NEARBY), near + _NEARBY + 1)
        tried = [self._at_side(match, candidate, side) for side in sides]
        return max([match, *tried], key=lambda m: m.score)

    def _at_side(self, match: Match, candidate: Candidate, side: int) -> Match:
        short = candidate.steps[0]
        assert isinstance(short, ResizeShort)
        steps = (replace(short, side=side), *candidate.steps[1:])
        moved = replace(candidate, steps=steps)
        made = self.scene.make(moved)
        upright = match.orientation.undo(match.view.values)
        score = _score(upright, made, match.sign) if made else 0.0
        return replace(match, candidate=moved, score=score)

    def _best(self, matches: list[Match]) -> Match:
        """Return the match with the smallest residual; the first one on a tie."""
        best, least = matches[0], np.inf
        for match in matches:
            fit = self.fit(match)
            if fit and fit.rms < least * 0.98 - 1e-4:
                best, least = match, fit.rms
        return best


def _size_of(values: Values) -> Wh:
    return values.shape[1], values.shape[0]


def positions(content: Rect, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw positions inside a rectangle, the same ones each time; all of them if they are few."""
    x0, y0, x1, y1 = content
    if (x1 - x0) * (y1 - y0) <= count:
        ys, xs = np.mgrid[y0:y1, x0:x1]
        return ys.ravel(), xs.ravel()
    rng = np.random.default_rng(0)
    return rng.integers(y0, y1, count), rng.integers(x0, x1, count)


def mapped(codes: Values, match: Match) -> Values:
    """Apply a match's gray conversion and sign map to pixel codes [..., 3]."""
    values = codes.astype(np.float64)
    if match.gray:
        pixels = np.clip(np.rint(codes), 0, 255).astype(np.uint8).reshape(-1, 1, 3)
        gray = to_gray(pixels, "rgb", match.candidate.decode.library, 3)
        values = gray.reshape(codes.shape).astype(np.float64)
    return SIGN_MAPS[match.sign.dtype](values) if match.sign else values


def _score(upright: Values, made: Made, sign: Reinterpret | None) -> float:
    """Correlate mean brightness, which no exchange of channels changes."""
    ys, xs = positions(made.content, _COARSE_SAMPLES)
    codes = made.picture[ys, xs].astype(np.float64)
    if sign:
        codes = SIGN_MAPS[sign.dtype](codes)
    fed = upright[ys, xs].astype(np.float64)
    return correlation(fed.mean(axis=1), codes.mean(axis=1))
