"""Finding the reading, orientation, geometry and value map under which a tensor is the picture."""

from __future__ import annotations

import functools
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
    crop_roundings,
    roundings,
)
from qdebug.preprocess.recover.changes import CLEAR
from qdebug.preprocess.recover.crops import shorter_side
from qdebug.preprocess.recover.fit import ChannelFit, correlation, fit_channels
from qdebug.preprocess.recover.scene import Scene
from qdebug.preprocess.recover.storage import View, contradicting_views, sheared_views
from qdebug.preprocess.recover.tones import hats
from qdebug.preprocess.steps import (
    CenterCrop,
    Crop,
    Decode,
    Flip,
    Reinterpret,
    ResizeShort,
    Rotate,
    Step,
)

Values = NDArray[Any]

_LUMA = np.array([0.299, 0.587, 0.114])
_FEWEST = 64  # pixels to compare two places by; by judgement
_PLACE_SAMPLES = 8000  # pixels two geometries are compared by; by judgement, for time
_RIDGE = 1e-3
"""Added to the sums of squares of thousands of codes, where columns say the same (gray)."""
_COARSE_SAMPLES, _FINE_SAMPLES = 3000, 20000
"""Pixels compared for a first look, and for a fit. By judgement, for time: values that have nothing
to do with each other have a correlation of 1 / sqrt(3000) = 0.02 by chance."""
GOOD_SCORE = 0.9
"""Correlation from which a reading is taken as found and no less likely ones are tried. By
judgement: on eight photos, filters and colour standards other than the right ones left 0.98."""
_HOPELESS = 0.5
"""Correlation below which it is another picture. By judgement: on eight photos, a wrong geometry or
reading of the bytes left 0.4 at most. At 0.85 "nearest" of `benchmarks.preprocess` is not named."""
_SURE = 0.97
"""Correlation from which no uncommon crop is looked for. By judgement, as `GOOD_SCORE`."""
_AS_IT_IS = 0.02
"""Added to the score of the reference tensor as it stands, so that its content in another geometry
must fit clearly better to be taken instead. By judgement."""
_NEARBY = 4
"""Pixels on either side of an estimated size that are tried. By judgement: the estimate is made on
a grid of 64."""
_CLEARLY_LESS, _LEAST_GAIN = 0.98, 1e-4
"""A later variant is taken where its residual is 2 % smaller, and more than arithmetic makes. By
judgement."""
_MOVED = 2
"""Pixels by which a rounding rule or another grid moves a picture at most. By judgement."""
_LESS = 0.95
"""A geometry that leaves more than this share of what another one leaves explains too little.
By judgement."""
_SAME_CODES = 0.3
"""Two geometries whose pictures differ by less, rms in pixel codes, are one: rounding does more."""

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
    shift: Wh = (0, 0)
    """How many pixels the picture lies to the right of, and below, its place."""

    def moved(self, dx: int, dy: int) -> Orientation:
        """The same, the picture lying (dx, dy) beside its place; lost edges are NaN."""
        shift = self.shift[0] + dx, self.shift[1] + dy
        return Orientation(self.steps, lambda v: _back(self.undo(v), dx, dy), shift)

    @property
    def unmoved(self) -> Orientation:
        """The same flips and turns, the picture in its place."""
        return next(one for one in ORIENTATIONS if one.steps == self.steps)


def _back(values: Values, dx: int, dy: int) -> Values:
    """Move [height, width, channels] by (-dx, -dy); NaN where nothing is known."""
    height, width = values.shape[:2]
    moved = np.full(values.shape, np.nan, np.result_type(values.dtype, np.float16))
    ys, xs = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
    to_ys, to_xs = slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
    moved[to_ys, to_xs] = values[ys, xs]
    return moved


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
        self._fits: dict[tuple[object, ...], ChannelFit | None] = {}

    def coarse(self, views: list[View], fed: Values, size: Wh | None) -> Match | None:
        """Find the best reading, orientation and geometry by correlation of brightness."""
        best: Match | None = None
        for stage in self._stages(views, fed, size):
            for match in stage:
                if best is None or match.score > best.score:
                    best = match
            best = self._placed(best) if best else None
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
        """Fit gain and offset a channel inside the picture's content; each match once."""
        key = (id(match.view), match.orientation, match.candidate, match.sign, match.gray)
        if key not in self._fits:
            self._fits[key] = self._fit(match)
        return self._fits[key]

    def _fit(self, match: Match) -> ChannelFit | None:
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
        """Settle the rounding of the geometry, the crop, the filter and the place to the pixel.

        What the reference says is kept unless something else explains the tensor clearly better.
        """
        starts = dict.fromkeys((match.orientation, match.orientation.unmoved))
        tried = [replace(match, orientation=start) for start in starts]
        best = self._best([replace(m, candidate=c) for m in tried for c in self._variants(m)])
        declared = self.reference.resampler if self.reference else None
        if declared and best.candidate.resampler:
            best = replace(best, candidate=best.candidate.with_resampler(declared))
        found = self._best([best, *self.filters(best)])
        moved = self._moved(best)
        if moved.orientation.shift == best.orientation.shift:
            return found
        moved = self._best([moved, *self.filters(moved)])
        return moved if self.clearly(found, moved) else found

    def as_declared(self, match: Match) -> Match:
        """Return the reference's own geometry, unless this one is clearly better."""
        if self.reference is None or match.candidate == self.reference:
            return match
        declared = replace(match, candidate=self.reference)
        made = self.scene.make(self.reference)
        upright = match.orientation.undo(match.view.values)
        if made is None or made.picture.shape[:2] != upright.shape[:2]:
            return match
        return match if self.clearly(declared, match) else declared

    def clearly(self, first: Match, other: Match) -> bool:
        """Whether the tensor speaks for the other explanation and against the first one.

        With ``d`` the difference of the brightness that both predict and ``e`` what the first
        leaves unexplained, the share ``<e, d> / <d, d>`` is 0 if the first is right and 1 if the
        other is, whatever noise there is beside.
        """
        one, two = self._predicted(first, first), self._predicted(other, first)
        if one is None:
            return two is not None
        if two is None:
            return False
        usable = one[2] & two[2]
        d, e = (two[1] - one[1])[usable], (one[0] - one[1])[usable]
        if first.orientation != other.orientation:
            d = d - (two[0] - one[0])[usable]
        power = float((d * d).mean()) if len(d) else 0.0
        left, before = float(((e - d) ** 2).mean()), float((e * e).mean())
        if power <= _SAME_CODES**2 or left > before * _LESS**2:
            return False
        return float((e * d).mean()) / power >= CLEAR

    def _predicted(self, match: Match, scale: Match) -> tuple[Values, Values, Values] | None:
        """Brightness of what was fed, what the picture predicts of it, and where both are known.

        Predicted by least squares from R, G, B and a free curve of their mean, so that neither
        another colour standard nor a curve looks like another geometry. In pixel codes.

        Args:
            match: the explanation.
            scale: the one whose gains make pixel codes of tensor values.
        """
        fit, made = self.fit(scale) or self.fit(match), self.scene.make(match.candidate)
        upright = match.orientation.undo(match.view.values)
        if fit is None or made is None or made.picture.shape[:2] != upright.shape[:2]:
            return None
        height, width = upright.shape[:2]
        ys, xs = positions((0, 0, width, height), _PLACE_SAMPLES)
        x0, y0, x1, y1 = made.content
        weights = _LUMA[list(fit.source)] / np.array(fit.gain)
        fed = upright[ys, xs].astype(np.float64) @ weights
        known = np.isfinite(fed) & (ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1)
        if known.sum() < _FEWEST:
            return None
        codes = mapped(made.picture[ys, xs], match)
        mean = np.clip(np.rint(_brightness(codes)), 0, 255).astype(np.intp)
        curve = [hat[mean][:, None] for hat in hats()]
        basis = np.concatenate([codes, *curve], axis=1)
        inside = basis[known]
        square = inside.T @ inside + _RIDGE * np.eye(basis.shape[1])
        return fed, basis @ np.linalg.solve(square, inside.T @ fed[known]), known

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
            tried = [self._at_side(match, candidate, side) for side in sides if side > 0]
            found = [one.candidate for one in tried]
            # A place beside the centre is no side of its own: turned, the crop is rounded so.
            located = [self._located(one).candidate for one in tried]
            return list(dict.fromkeys([*found, *crop_roundings(candidate), *located]))
        return [replace(candidate, steps=steps) for steps in roundings(candidate.steps, source)]

    def _placed(self, match: Match) -> Match:
        """Search the place to the pixel, and the crop, where the match is not sure."""
        if match.score >= _SURE or not np.isfinite(match.view.values).all():
            return match
        found = [match]
        if self.reference:
            start = replace(match, candidate=self.reference, score=0.0)
            found += [start, replace(start, orientation=UPRIGHT[0])]
        near = [other for one in found for other in (self._moved(one), self._located(one))]
        best = max([match, *near], key=lambda m: m.score)
        return best if best.score >= _SURE else self._cropped(best)

    def _moved(self, match: Match) -> Match:
        """Try the picture one or two pixels beside its place."""
        made = self.scene.make(match.candidate)
        upright = match.orientation.undo(match.view.values)
        if made is None or made.picture.shape[:2] != upright.shape[:2] or not self.scene.has_file:
            return match
        steps = range(-_MOVED, _MOVED + 1)
        tried = [(dx, dy) for dx in steps for dy in steps]
        score = {step: _score(_back(upright, *step), made, match.sign) for step in tried}
        best = max(tried, key=score.__getitem__)
        if best == (0, 0):
            return replace(match, score=max(match.score, score[best]))
        return replace(match, orientation=match.orientation.moved(*best), score=score[best])

    def _located(self, match: Match) -> Match:
        """Search the place of a crop inside the scaled picture."""
        import cv2

        *before, last = match.candidate.steps or (None,)
        upright = match.orientation.undo(match.view.values)
        full = self.scene.make(replace(match.candidate, steps=tuple(s for s in before if s)))
        if not isinstance(last, CenterCrop) or full is None or match.sign:
            return match
        height, width = upright.shape[:2]
        if full.picture.shape[0] < height or full.picture.shape[1] < width:
            return match
        large, small = (
            np.ascontiguousarray(v.mean(axis=2), np.float32) for v in (full.picture, upright)
        )
        _, _, _, origin = cv2.minMaxLoc(cv2.matchTemplate(large, small, cv2.TM_CCOEFF_NORMED))
        steps = tuple(s for s in before if s)
        crop = Crop((width, height), (int(origin[0]), int(origin[1])))
        candidate = replace(match.candidate, steps=(*steps, crop))
        made = self.scene.make(candidate)
        score = _score(upright, made, match.sign) if made else 0.0
        return replace(match, candidate=candidate, score=score)

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
        """Return the match that leaves least unexplained; the first one if it is not clear."""
        best, least = matches[0], np.inf
        for match in matches:
            found = self._predicted(match, matches[0])
            if found is None:
                continue
            fed, predicted, known = found
            rms = float(np.sqrt(((fed - predicted)[known] ** 2).mean()))
            if rms < least * _CLEARLY_LESS - _LEAST_GAIN:
                best, least = match, rms
        return best if best is matches[0] or self.clearly(matches[0], best) else matches[0]


def _size_of(values: Values) -> Wh:
    return values.shape[1], values.shape[0]


@functools.lru_cache(maxsize=32)
def positions(content: Rect, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw positions inside a rectangle, the same ones each time; all of them if they are few."""
    x0, y0, x1, y1 = content
    if (x1 - x0) * (y1 - y0) <= count:
        ys, xs = (grid.ravel() for grid in np.mgrid[y0:y1, x0:x1])
    else:
        rng = np.random.default_rng(0)
        ys, xs = rng.integers(y0, y1, count), rng.integers(x0, x1, count)
    ys.flags.writeable = xs.flags.writeable = False
    return ys, xs


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
    return correlation(_brightness(fed), _brightness(codes))


def _brightness(pixels: Values) -> NDArray[np.float64]:
    """Mean of the channels of ``[positions, channels]``: a reduction of so few takes long."""
    brightness: NDArray[np.float64] = functools.reduce(np.add, pixels.T) / pixels.shape[1]
    return brightness
