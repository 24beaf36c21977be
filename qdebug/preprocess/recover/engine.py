"""Recovering the pipeline that made a tensor from a picture, or from a reference tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.color import through_yuv
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.normalization import KNOWN, known_affine
from qdebug.preprocess.recover.border import Border, read_border
from qdebug.preprocess.recover.candidates import Candidate, Made, Picture, Rect, Source
from qdebug.preprocess.recover.changes import Explainer
from qdebug.preprocess.recover.compression import compression
from qdebug.preprocess.recover.fit import ChannelFit, fit_channels
from qdebug.preprocess.recover.numbers import lattice_step, quantum, settle
from qdebug.preprocess.recover.scene import Scene
from qdebug.preprocess.recover.search import GOOD_SCORE, UPRIGHT, Match, Search, mapped, positions
from qdebug.preprocess.recover.storage import View, agreeing_views
from qdebug.preprocess.recover.tones import Tone
from qdebug.preprocess.recover.writing import Fitted, write_spec
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import (
    Decode,
    Letterbox,
    Pad,
    Step,
    Yuv,
)
from qdebug.preprocess.traits import traits_of

_EXACT_CODES = 0.06
"""Largest residual, in codes, of a picture that was made just so; the data type's own rounding
comes on top. By judgement: on eight photos, any other filter left 1 and more."""
_CLOSE_CODES, _CLOSE_LUMA = 4.0, 2.5
"""Residuals, rms in codes of all channels or of brightness alone, that lost details explain. By
judgement: on eight photos, compression at quality 90 changed pixels by 1.7 in the mean, a
misreading of YUV's range by 6. At 0.5 codes "limited read as full" and "601 read as 709" of
`benchmarks.preprocess` are taken for two things."""
_ROUNDED_CODES = 0.6
"""Rms in codes that rounding to 8 bits leaves behind a curve: 0.29 (1 / sqrt(12)), twice where the
curve was rounded, too."""
_BETTER = 0.75
"""Part of the residual that a rarer explanation may leave to be taken. By judgement; at 0.97 the
control "NV12 and back" of `benchmarks.preprocess` raises an alarm."""
_LUMA = np.array([0.299, 0.587, 0.114])
_SAME_CHANNELS = 0.99999
"""Correlation from which channels are one. By judgement: rounding alone may tell them apart."""
_YUV_PIXELS = 32768  # pixels fitted through YUV; by judgement, for time
_ROUND_TRIPS = tuple(
    Yuv((matrix, span), (matrix, span), subsampled)
    for matrix in ("601", "709")
    for span in ("limited", "full")
    for subsampled in (True, False)
)
_HALF_STEP = 0.51
"""Of a grid's step: the largest error of rounding, and a little for float32."""
_IN_PLACE = 0.05
"""Part of a code by which a value may miss a whole one; a quantizer's zero point misses it by up to
a half. By judgement."""
_ONE_CODE = 0.005
"""A grid whose step is within this share of one pixel code is the picture's own."""


@dataclass(frozen=True)
class Recovery:
    """What is known about the pipeline that made a tensor."""

    spec: PreprocessSpec
    """The pipeline, as far as it could be told; otherwise the reference's traits."""
    view: View
    fit: ChannelFit
    exact: bool
    """Whether the fit leaves nothing but the data type's rounding."""
    border: Border | None
    gray_source: bool
    """Whether the picture itself is gray, so that channel orders look alike."""
    approximate: bool
    """Whether the geometry was rebuilt from a reference tensor, which cannot be exact."""
    luma_rms: float
    """What remains unexplained of the brightness alone: chroma subsampling leaves it alone."""
    tone: Tone | None = None
    """A curve that the pixels went through."""
    rivals: tuple[str, ...] = ()
    """What explains the values as well as the colour standard or the curve that was found."""
    shift: Wh = (0, 0)
    """How many pixels the picture lies to the right of, and below, its place."""
    lattice: float = 0.0
    """Step of the grid on which all values lie, in pixel codes of the finest channel; 0 if none."""
    compression: str = ""
    """The compression that explains what the pipeline leaves."""

    @property
    def close(self) -> bool:
        """Whether what remains is a few codes."""
        return self.exact or self.fit.rms <= _CLOSE_CODES or self.luma_rms <= _CLOSE_LUMA


def recover(
    scene: Scene,
    fed: NDArray[Any],
    reference: PreprocessSpec | None = None,
    size: Wh | None = None,
) -> Recovery | None:
    """Find the pipeline that made ``fed``.

    Args:
        scene: the picture file, or the reference tensor.
        fed: the tensor; its shape is taken as its label, one axis means raw bytes.
        reference: the pipeline that should have made it.
        size: (width, height) of the model's input, if known.

    Returns:
        None if the tensor does not show this picture in any way that is known.
    """
    return _Engine(scene, fed, reference, size).run()


class _Engine:
    """One recovery; holds what all its steps need."""

    def __init__(
        self,
        scene: Scene,
        fed: NDArray[Any],
        reference: PreprocessSpec | None,
        size: Wh | None,
    ) -> None:
        self.scene = scene
        self.fed = fed
        self.reference = reference
        self.decode = reference.decode if reference else Decode()
        self.candidate = self._reference_candidate()
        made = scene.make(self.candidate) if self.candidate else None
        self.size = (made.picture.shape[1], made.picture.shape[0]) if made else size
        swapped = reference is not None and reference.order == "bgr"
        self.preferred = (2, 1, 0) if swapped else (0, 1, 2)
        self.search = Search(scene, self.decode, self.candidate, self.preferred)

    def _reference_candidate(self) -> Candidate | None:
        if not self.scene.has_file:
            return Candidate(self.decode, ())
        if self.reference is None:
            return None
        steps = (_before_arithmetic(s) for s in self.reference.geometry if not isinstance(s, Pad))
        return Candidate(self.decode, (*steps, *self._late_padding()))

    def _late_padding(self) -> tuple[Step, ...]:
        """Return the padding of a reference that pads after normalizing."""
        assert self.reference is not None
        return tuple(replace(s, value=(0.0,)) for s in self.reference.steps if isinstance(s, Pad))

    def run(self) -> Recovery | None:
        views = agreeing_views(self.fed, self.size)
        fitted = self._as_declared(views) or self._searched(views)
        if fitted is None:
            return None
        made = self.scene.make(fitted.match.candidate)
        assert made is not None
        upright = fitted.match.orientation.undo(fitted.match.view.values)
        signed = fitted.match.sign is not None and fitted.match.sign.dtype == "int8"
        noise = 0.0 if self._is_exact(fitted.fit) else fitted.fit.rms
        border = read_border(upright, made.content, fitted.affine, noise, signed)
        if border and border.constant:
            border = self._snapped(border, fitted, noise)
        spec = write_spec(
            fitted, border, self.reference, self.fed.dtype, self._own_error(fitted.fit)
        )
        return Recovery(
            spec,
            fitted.match.view,
            fitted.fit,
            self._is_exact(fitted.fit),
            border,
            _is_gray(made),
            not self.scene.has_file and bool(fitted.match.candidate.steps),
            self._luma_rms(fitted),
            fitted.tone,
            fitted.rivals,
            fitted.match.orientation.shift,
            self._grid(fitted.fit),
            self._compression(fitted)[0],
        )

    def _is_exact(self, fit: ChannelFit) -> bool:
        return fit.max <= _EXACT_CODES + 1.1 * self._own_error(fit)

    def _fitted(self, match: Match, fit: ChannelFit) -> Fitted:
        if self._is_rounded_reference(match, fit):
            assert self.reference is not None
            return Fitted(match, fit, self.reference.affine)
        return Fitted(match, fit, settle(fit, self.reference, self._own_error(fit)))

    def _is_rounded_reference(self, match: Match, fit: ChannelFit) -> bool:
        """Whether all values are the reference's, rounded to the grid of a quantizer.

        The values at both ends of the grid may have been clipped, and are left out.
        """
        made = self.scene.make(match.candidate)
        reference = self.reference.affine if self.reference else None
        if not self._grid(fit) or made is None or reference is None:
            return False
        if len(reference.gain) != len(fit.gain):
            return False
        ys, xs = positions(made.content, _YUV_PIXELS)
        upright = match.orientation.undo(match.view.values)[ys, xs]
        codes = mapped(made.picture[ys, xs], match)[:, list(fit.source)]
        gap = np.abs(upright - (codes * np.array(reference.gain) + np.array(reference.offset)))
        inside = (upright > self.fed.min()) & (upright < self.fed.max())
        return bool(inside.any() and gap[inside].max() <= _HALF_STEP * self._lattice)

    def _luma_rms(self, fitted: Fitted) -> float:
        """What remains unexplained of the brightness alone, rms in pixel codes."""
        made = self.scene.make(fitted.match.candidate)
        if made is None or len(fitted.fit.gain) != 3:
            return fitted.fit.rms
        ys, xs = positions(made.content, _YUV_PIXELS)
        upright = fitted.match.orientation.undo(fitted.match.view.values)[ys, xs]
        codes = _changed(made.picture, fitted)[ys, xs]
        codes = mapped(codes, fitted.match)[:, list(fitted.fit.source)]
        pixels = (upright - np.array(fitted.affine.offset)) / np.array(fitted.affine.gain)
        luma = (pixels - codes) @ _LUMA[list(fitted.fit.source)]
        return float(np.sqrt(np.nanmean(luma.astype(np.float64) ** 2)))

    def _own_error(self, fit: ChannelFit) -> float:
        """Rounding of the tensor's data type, or of the grid its values lie on, in pixel codes."""
        return max(quantum(self.fed) / min(abs(g) for g in fit.gain), self._grid(fit) / 2)

    @cached_property
    def _lattice(self) -> float:
        return lattice_step(self.fed)

    def _grid(self, fit: ChannelFit) -> float:
        """Step of the grid of a quantizer, in pixel codes; 0 if it is that of the pixels."""
        steps = [self._lattice / abs(g) for g in fit.gain]
        declared = self.reference.affine if self.reference else fit.affine
        if self._is_of_pixels(fit.affine) or self._is_of_pixels(declared):
            return 0.0
        return max(steps)

    def _is_of_pixels(self, affine: Affine) -> bool:
        """Whether the grid of the values is that of whole pixel codes, in step and place."""
        gain, offset = np.array(affine.gain), np.array(affine.offset)
        code = (float(np.nanmin(self.fed)) - offset) / gain
        in_step = np.abs(self._lattice / np.abs(gain) - 1).max() < _ONE_CODE
        return bool(in_step and np.abs(code - np.rint(code)).max() < _IN_PLACE)

    def _compression(self, fitted: Fitted) -> tuple[str, float]:
        """Name the compression that explains what remains, and what that leaves, rms in codes."""
        if self._is_exact(fitted.fit) or not self.scene.has_file or fitted.yuv or fitted.tone:
            return "", np.inf
        match = fitted.match
        if match.gray or match.sign or len(fitted.fit.gain) != 3:
            return "", np.inf
        upright = match.orientation.undo(match.view.values)
        pixels = (upright - np.array(fitted.affine.offset)) / np.array(fitted.affine.gain)
        back = np.argsort(fitted.fit.source)
        return compression(self.scene, match.candidate, pixels[..., back])

    def _compressed(self, fitted: Fitted) -> Fitted:
        """Keep the reference's filter where compression explains more than another filter does."""
        match = self._declared_filter(fitted.match)
        fit = self.search.fit(match)
        if match == fitted.match or fit is None:
            return fitted
        declared = self._fitted(match, fit)
        words, left = self._compression(declared)
        return declared if words and left < self._luma_rms(fitted) else fitted

    def _as_declared(self, views: list[View]) -> Fitted | None:
        """Try the reference's own geometry first, with any filter: most tensors are made with it.

        Fine detail under another filter resembles the reference less than a search asks for.
        """
        if self.candidate is None:
            return None
        matches = [self._with_gray(Match(view, UPRIGHT[0], self.candidate)) for view in views]
        filtered = (other for match in matches for other in self.search.filters(match))
        tried = map(self._exactly, chain(matches, filtered))
        return next((fitted for fitted in tried if fitted), None)

    def _exactly(self, match: Match) -> Fitted | None:
        """The fit of a match, if it leaves nothing unexplained."""
        fit = self.search.fit(match)
        return self._fitted(match, fit) if fit and self._is_exact(fit) else None

    def _searched(self, views: list[View]) -> Fitted | None:
        coarse = self.search.coarse(views, self.fed, self.size)
        if coarse is None:
            return None
        match = self.search.refine(self.search.as_declared(self._with_gray(coarse)))
        fit = self.search.fit(match)
        if fit is None:
            return None
        fitted = self._fitted(match, fit)
        if not self._is_exact(fit):
            fitted = self._other_decoder(fitted)
        if not self._is_exact(fitted.fit):
            fitted = self._other_values(self._compressed(fitted))
        hopeless = coarse.score < GOOD_SCORE and fitted.fit.quality < GOOD_SCORE**2
        return None if hopeless else fitted

    def _with_gray(self, match: Match) -> Match:
        """Mark a match whose three fed channels are one where the picture's are not."""
        made = self.scene.make(match.candidate)
        upright = match.orientation.undo(match.view.values)
        if made is None or made.picture.shape[:2] != upright.shape[:2]:
            return match
        ys, xs = positions(made.content, _YUV_PIXELS)
        fed = upright[ys, xs]
        one = fed.shape[1] == 1 or _are_one(fed)
        return replace(match, gray=one and not _is_gray(made))

    def _other_decoder(self, fitted: Fitted) -> Fitted:
        """Try the other library's decoder where it gives other pixels."""
        candidate = fitted.match.candidate
        if not self.scene.has_file or not candidate.steps:
            return fitted
        other: Decode = replace(
            candidate.decode, library="pil" if candidate.decode.library == "cv2" else "cv2"
        )
        one, two = self.scene.decoded(candidate.decode), self.scene.decoded(other)
        if np.array_equal(one, two):
            return fitted
        match = replace(fitted.match, candidate=replace(candidate, decode=other))
        match = self.search.refine(match)
        fit = self.search.fit(match)
        return self._fitted(match, fit) if fit and fit.rms < fitted.fit.rms * _BETTER else fitted

    def _other_values(self, fitted: Fitted) -> Fitted:
        """Try whether the picture went through YUV, read rightly or wrongly, or through a curve."""
        if fitted.match.gray or fitted.match.sign or len(fitted.fit.gain) != 3:
            return fitted
        explainer = self._explainer(fitted)
        found = self._explained(fitted, explainer)
        any_curve = found.tone is not None and found.tone.free
        if explainer is None or (found.fit.rms <= _ROUNDED_CODES and not any_curve):
            return found
        return self._toned_otherwise(fitted, explainer) or found

    def _toned_otherwise(self, fitted: Fitted, explainer: Explainer) -> Fitted | None:
        """A curve before another known normalization than the reference's; None if not proven.

        Both together have to leave rounding alone: a gain and offset behind a curve fit much, and a
        curve of any form holds a gain and offset.
        """
        tone = explainer.nearest_tone()
        if tone is None:
            return None
        match, fit = self._behind_tone(tone, fitted.match)
        if fit is None or fit.rms > _ROUNDED_CODES:
            return None
        affine = settle(fit, self.reference, self._own_error(fit))
        return None if affine == fit.affine else Fitted(match, fit, affine, None, tone)

    def _explained(self, fitted: Fitted, explainer: Explainer | None) -> Fitted:
        settled = fitted.affine != fitted.fit.affine
        change = explainer.best(fitted.affine, settled) if explainer else None
        if change is None:
            return self._round_trip(fitted)
        if change.tone:
            match, fit = self._behind_tone(change.tone, fitted.match)
            return Fitted(match, fit or fitted.fit, change.base, None, change.tone, change.rivals)
        if change.yuv is None:
            return self._round_trip(replace(fitted, affine=change.base))
        through = [replace(change.yuv, subsampled=halved) for halved in (True, False)]
        fits = [(self._fit_through(yuv, fitted.match), yuv) for yuv in through]
        found, yuv = min(fits, key=lambda pair: pair[0].rms if pair[0] else np.inf)
        return Fitted(fitted.match, found or fitted.fit, change.base, yuv, None, change.rivals)

    def _declared_filter(self, match: Match) -> Match:
        """Take the reference's filter: behind a curve before the resize, none can be told."""
        declared = self.candidate.resampler if self.candidate else None
        if declared is None or match.candidate.resampler is None:
            return match
        return replace(match, candidate=match.candidate.with_resampler(declared))

    def _explainer(self, fitted: Fitted) -> Explainer | None:
        """What compares known conventions with what was fed; None where there is nothing to see."""
        match, made = fitted.match, self.scene.make(fitted.match.candidate)
        upright = match.orientation.undo(match.view.values)
        if made is None:
            return None
        x0, y0, x1, y1 = made.content
        dx, dy = (abs(side) for side in match.orientation.shift)
        x0, y0, x1, y1 = x0 + dx, y0 + dy, x1 - dx, y1 - dy
        if not np.isfinite(upright[y0:y1, x0:x1]).all():
            return None
        part = np.clip(np.rint(made.picture[y0:y1, x0:x1]), 0, 255).astype(np.uint8)
        settled = fitted.affine != fitted.fit.affine
        bases = self._bases() + ([fitted.affine] if settled else [])
        return Explainer(part, upright[y0:y1, x0:x1], fitted.fit.source, bases)

    def _bases(self) -> list[Affine]:
        """The normalizations that may be right: the reference's, else the well-known ones."""
        if self.reference is None or len(self.reference.affine.gain) != 3:
            return [known_affine(name) for name in KNOWN]
        declared = self.reference.affine
        return [declared, Affine(declared.gain[::-1], declared.offset[::-1])]

    def _round_trip(self, fitted: Fitted) -> Fitted:
        """Try whether the picture went through YUV and was read as it was written."""
        best, least = fitted, fitted.fit.rms * _BETTER
        for yuv in _ROUND_TRIPS:
            fit = self._fit_through(yuv, fitted.match)
            if fit and fit.rms < least:
                best, least = Fitted(fitted.match, fit, fitted.affine, yuv), fit.rms * _BETTER
        return best

    def _behind_tone(self, tone: Tone, match: Match) -> tuple[Match, ChannelFit | None]:
        """The filter beside a curve: the reference's, unless another one leaves rounding alone.

        A curve before the resize and one behind it leave different pixels, so both are tried.
        """
        declared = self._declared_filter(match)
        as_declared = self._fit_tone(tone, declared)
        if as_declared is None or as_declared.rms <= _ROUNDED_CODES:
            return declared, as_declared
        tried = [(other, self._fit_tone(tone, other)) for other in self.search.filters(match)]
        known = [(other, fit) for other, fit in tried if fit is not None]
        best = min(known, key=lambda item: item[1].rms, default=None)
        return best if best and best[1].rms <= _ROUNDED_CODES else (declared, as_declared)

    def _fit_tone(self, tone: Tone, match: Match) -> ChannelFit | None:
        """Fit the picture with a curve before or behind the resize, whichever leaves less."""
        made = [self.scene.make(match.candidate), self._made_through(tone, match.candidate)]
        fits = [
            self._fit_curved(tone if at == 0 else None, found, match)
            for at, found in enumerate(made)
            if found is not None
        ]
        return min((f for f in fits if f), key=lambda fit: fit.rms, default=None)

    def _made_through(self, tone: Tone, candidate: Candidate) -> Made | None:
        """The picture with a curve applied before it is placed."""
        if not isinstance(self.scene, Source) or not candidate.steps:
            return None
        decoded = self.scene.decoded(candidate.decode)
        curved = np.clip(np.rint(tone.apply(decoded)), 0, 255).astype(np.uint8)
        return self.scene.made_of(curved, candidate)

    def _fit_curved(self, tone: Tone | None, made: Made, match: Match) -> ChannelFit | None:
        upright = match.orientation.undo(match.view.values)
        if made.picture.shape[:2] != upright.shape[:2]:
            return None
        ys, xs = positions(made.content, _YUV_PIXELS)
        codes = made.picture[ys, xs]
        return fit_channels(upright[ys, xs], tone.apply(codes) if tone else codes, self.preferred)

    def _fit_through(self, yuv: Yuv, match: Match) -> ChannelFit | None:
        """Fit a part of the picture after a round trip through YUV."""
        made = self.scene.make(match.candidate)
        if made is None:
            return None
        rows, columns = _blocks(made.content)
        part = np.clip(np.rint(made.picture[rows][:, columns]), 0, 255).astype(np.uint8)
        codes = through_yuv(part, yuv).reshape(-1, 3)
        upright = match.orientation.undo(match.view.values)[rows][:, columns]
        return fit_channels(upright.reshape(-1, upright.shape[2]), codes, self.preferred)

    def _snapped(self, border: Border, fitted: Fitted, noise: float) -> Border:
        """Take the reference's own pad value where rounding and noise allow it."""
        padding = traits_of(self.reference).padding if self.reference else None
        if padding is None or len(padding.codes) != len(border.codes):
            return border
        expected = np.array(padding.codes)
        if fitted.yuv and ((expected >= 0) & (expected <= 255)).all():
            pixel = np.rint(expected).astype(np.uint8).reshape(1, 1, 3)
            expected = through_yuv(pixel, fitted.yuv).reshape(3).astype(np.float64)
        gap = np.abs(expected - border.codes)
        near = bool((gap <= 0.05 + self._own_error(fitted.fit) + min(1.5, noise)).all())
        return replace(border, codes=padding.codes) if near else border


def _changed(picture: Picture, fitted: Fitted) -> Picture:
    """Apply the colour standard or the curve that was found."""
    if fitted.tone:
        return fitted.tone.apply(picture)
    if fitted.yuv:
        return through_yuv(np.clip(np.rint(picture), 0, 255).astype(np.uint8), fitted.yuv)
    return picture


def _blocks(content: Rect) -> tuple[NDArray[np.intp], slice]:
    """Choose pairs of rows all over the picture, so that 2x2 chroma blocks stay whole."""
    x0, y0, x1, y1 = content
    x0, y0 = x0 + x0 % 2, y0 + y0 % 2
    width = max(2, (x1 - x0) // 2 * 2)
    pairs = np.arange(y0, max(y1 - 1, y0 + 1), 2)
    step = max(1, len(pairs) * 2 * width // _YUV_PIXELS)
    chosen = pairs[::step]
    return np.stack([chosen, chosen + 1], axis=1).reshape(-1), slice(x0, x0 + width)


def _before_arithmetic(step: Step) -> Step:
    """Give a letterbox of the reference a value that fits pixels; the border is read later."""
    return replace(step, pad=(114.0,)) if isinstance(step, Letterbox) and step.pad else step


def _is_gray(made: Made) -> bool:
    ys, xs = positions(made.content, _YUV_PIXELS)
    pixels = made.picture[ys, xs].astype(np.float32)
    return bool(np.ptp(pixels, axis=1).max() <= 0.01)


def _are_one(fed: NDArray[Any]) -> bool:
    """Whether three channels are the same picture under gains and offsets of their own."""
    values = fed[np.isfinite(fed).all(axis=1)].astype(np.float64)
    if len(values) < 16 or not (values.std(axis=0) > 0).all():
        return False
    return bool(np.corrcoef(values.T).min() > _SAME_CHANNELS)
