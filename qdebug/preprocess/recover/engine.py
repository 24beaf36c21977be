"""Recovering the pipeline that made a tensor from a picture, or from a reference tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.color import through_yuv
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.recover.border import Border, read_border
from qdebug.preprocess.recover.candidates import Candidate, Made, Rect
from qdebug.preprocess.recover.fit import ChannelFit, fit_channels
from qdebug.preprocess.recover.numbers import quantum, settle
from qdebug.preprocess.recover.scene import Scene
from qdebug.preprocess.recover.search import GOOD_SCORE, UPRIGHT, Match, Search, mapped, positions
from qdebug.preprocess.recover.storage import View, agreeing_views
from qdebug.preprocess.recover.writing import Fitted, write_spec
from qdebug.preprocess.spec import PreprocessSpec
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
_BETTER = 0.75
"""Part of the residual that a rarer explanation may leave to be taken. By judgement; at 0.97 the
control "NV12 and back" of `benchmarks.preprocess` raises an alarm."""
_CLEARLY, _NO_WORSE = 0.95, 1.2
"""The same between two misreadings of YUV, and where the gain itself is that of a range taken for
the other: that one explains no worse. By judgement."""
_LUMA = np.array([0.299, 0.587, 0.114])
_SAME_CHANNELS = 0.99999
"""Correlation from which channels are one. By judgement: rounding alone may tell them apart."""
_YUV_PIXELS = 32768  # pixels fitted through YUV; by judgement, for time
_RANGES, _RANGE_TOLERANCE = (219 / 255, 255 / 219), 0.04
"""Gains of one YUV range taken for the other. Clipping makes the second one 1.128 for 1.164."""
_STANDARDS = (
    Yuv(("601", "limited"), ("601", "full")),
    Yuv(("601", "full"), ("601", "limited")),
    Yuv(("601", "limited"), ("709", "limited")),
    Yuv(("709", "limited"), ("601", "limited")),
    Yuv(("601", "full"), ("709", "full")),
    Yuv(("709", "full"), ("601", "full")),
    Yuv(("709", "limited"), ("709", "full")),
    Yuv(("709", "full"), ("709", "limited")),
)
_MISREADINGS = tuple(
    replace(yuv, subsampled=subsampled) for yuv in _STANDARDS for subsampled in (True, False)
)
_RIGHT = Yuv(("601", "limited"), ("601", "limited"))
_ROUND_TRIPS = (_RIGHT, replace(_RIGHT, subsampled=False))


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
        )

    def _is_exact(self, fit: ChannelFit) -> bool:
        return fit.max <= _EXACT_CODES + 1.1 * self._own_error(fit)

    def _fitted(self, match: Match, fit: ChannelFit, yuv: Yuv | None = None) -> Fitted:
        return Fitted(match, fit, settle(fit, self.reference, self._own_error(fit)), yuv)

    def _luma_rms(self, fitted: Fitted) -> float:
        """What remains unexplained of the brightness alone, rms in pixel codes."""
        made = self.scene.make(fitted.match.candidate)
        if made is None or len(fitted.fit.gain) != 3:
            return fitted.fit.rms
        ys, xs = positions(made.content, _YUV_PIXELS)
        upright = fitted.match.orientation.undo(fitted.match.view.values)[ys, xs]
        codes = mapped(made.picture[ys, xs], fitted.match)[:, list(fitted.fit.source)]
        pixels = (upright - np.array(fitted.affine.offset)) / np.array(fitted.affine.gain)
        luma = (pixels - codes) @ _LUMA[list(fitted.fit.source)]
        return float(np.sqrt(np.nanmean(luma.astype(np.float64) ** 2)))

    def _own_error(self, fit: ChannelFit) -> float:
        """Rounding of the tensor's data type, in pixel codes."""
        return quantum(self.fed) / min(abs(g) for g in fit.gain)

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
        match = self.search.refine(self._with_gray(coarse))
        fit = self.search.fit(match)
        if fit is None:
            return None
        fitted = self._fitted(match, fit)
        if not self._is_exact(fit):
            fitted = self._other_decoder(fitted)
        if not self._is_exact(fitted.fit):
            fitted = self._without_resampler_change(fitted)
            fitted = self._other_colors(fitted)
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
        match = replace(fitted.match, candidate=replace(candidate, decode=other))
        match = self.search.refine(match)
        fit = self.search.fit(match)
        return self._fitted(match, fit) if fit and fit.rms < fitted.fit.rms * _BETTER else fitted

    def _without_resampler_change(self, fitted: Fitted) -> Fitted:
        """Keep the reference's filter unless another one explains clearly more."""
        declared = self.candidate.resampler if self.candidate else None
        if declared is None or fitted.match.candidate.resampler in (None, declared):
            return fitted
        candidate = fitted.match.candidate.with_resampler(declared)
        match = replace(fitted.match, candidate=candidate)
        fit = self.search.fit(match)
        return self._fitted(match, fit) if fit and fitted.fit.rms > fit.rms * _BETTER else fitted

    def _other_colors(self, fitted: Fitted) -> Fitted:
        """Try whether the picture went through YUV, read rightly or wrongly."""
        if fitted.match.gray or fitted.match.sign:
            return fitted
        limit = _NO_WORSE if self._looks_like_a_range(fitted) else _BETTER
        best, least = fitted, fitted.fit.rms * limit
        for yuv in _ROUND_TRIPS + _MISREADINGS:
            fit = self._fit_through(yuv, fitted.match)
            if fit and fit.rms < least and self._is_plausible(fit):
                best = self._fitted(fitted.match, fit, yuv)
                least = fit.rms * (_BETTER if yuv in _ROUND_TRIPS else _CLEARLY)
        return best

    def _looks_like_a_range(self, fitted: Fitted) -> bool:
        """Whether the gain is off by what a confusion of YUV ranges does."""
        if self.reference is None or len(self.reference.affine.gain) != len(fitted.fit.gain):
            return fitted.affine == fitted.fit.affine
        ratio = np.abs(np.array(fitted.fit.gain) / np.array(self.reference.affine.gain))
        return any(bool((np.abs(ratio / r - 1) < _RANGE_TOLERANCE).all()) for r in _RANGES)

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

    def _is_plausible(self, fit: ChannelFit) -> bool:
        """Whether a fit has the reference's gain, or a well-known one: a misreading has its own."""
        if self.reference is None:
            return True
        declared = self.reference.affine.gain
        return len(declared) == len(fit.gain) and bool(
            np.allclose(declared, fit.gain, rtol=0.03)
            or np.allclose(declared[::-1], fit.gain, rtol=0.03)
        )

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
