"""What happened to the values between the decoded picture and the normalization.

Every known convention is applied to the picture, and its block means are compared with those of
the fed tensor: subsampled chroma, compression and another filter hardly move the mean of a block,
a wrong range, matrix or curve does. A convention is named only where the next one, of another
kind, is clearly worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.color import through_yuv
from qdebug.preprocess.recover.tones import Tone, free_tone, hats, named_tones
from qdebug.preprocess.spec import Affine
from qdebug.preprocess.steps import Yuv, YuvMatrix, YuvRange

Floats = NDArray[np.floating[Any]]
Means = NDArray[np.float64]
"""[blocks, 3]."""

CLEAR = 0.75
"""Share of the way from one explanation to the other at which the tensor must lie for the other
one to be taken: halfway nothing can be told, at the end it is certain. By judgement."""
_VISIBLE = 0.5
"""Block means, rms in pixel codes: below this two explanations are one and the same here."""
_SLACK, _FLOOR = 1.15, 0.1
"""How much worse than a free gain and offset, which has six numbers to adapt, a convention
without any may be. ``benchmarks/preprocess.py``, families of YUV and gamma."""
_HALF, _BENT = 0.5, 1.0
"""A free curve has to explain half of what is left, and that has to be a code (rms), since
compression bends dark and light by a little. By judgement, see the JPEG controls."""
_CLIPPED = 3.0
"""A convention that leaves up to this many times what a free curve leaves may still be the right
one: where a range is clipped before the resize, it does not fit exactly. By judgement."""
_LARGEST_SIDE = 300
"""Of a larger picture, every second pixel or fewer are looked at: enough for its block means."""
_LARGEST_GRID, _LEAST_BLOCK = 48, 4
_STANDARDS: tuple[tuple[YuvMatrix, YuvRange], ...] = (
    ("601", "limited"), ("601", "full"), ("709", "limited"), ("709", "full"),
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One explanation of the values."""

    base: Affine
    """Gain and offset of the normalization."""
    yuv: Yuv | None = None
    tone: Tone | None = None
    rivals: tuple[str, ...] = ()
    """Explanations of another kind that fit as well; empty if this one is the only one."""

    @property
    def slugs(self) -> frozenset[str]:
        """What the explanation would be named."""
        found = {"gamma"} if self.tone else set()
        if self.yuv and self.yuv.written[1] != self.yuv.read[1]:
            found.add("yuv-range")
        if self.yuv and self.yuv.written[0] != self.yuv.read[0]:
            found.add("yuv-matrix")
        return frozenset(found)

    @property
    def words(self) -> str:
        """The explanation for people."""
        if self.tone:
            return self.tone.words
        if self.yuv:
            one, two = self.yuv.written, self.yuv.read
            return f"BT.{one[0]} {one[1]}-range YUV read as BT.{two[0]} {two[1]} range"
        return "another mean and std"


@dataclass(frozen=True)
class _Scored:
    change: Change
    predicted: Means
    """In the codes of the fed tensor."""
    rms: float


class Explainer:
    """Compares explanations of one fed picture.

    Args:
        picture: uint8 R, G, B [height, width, 3], as the pipeline would have made it.
        fed: what was fed, the same place, [height, width, 3].
        source: channel of the picture behind each fed channel.
        bases: normalizations that may be right, the likeliest first.
    """

    def __init__(
        self,
        picture: NDArray[np.uint8],
        fed: Floats,
        source: Sequence[int],
        bases: Sequence[Affine],
    ) -> None:
        stride = max(1, max(picture.shape[:2]) // _LARGEST_SIDE)
        self._picture = np.ascontiguousarray(picture[::stride, ::stride])
        self._source = list(source)
        self._bases = list(bases)
        self._grid = _grid(self._picture.shape[1], self._picture.shape[0])
        self._fed = self._means(fed[::stride, ::stride])

    def best(self, fitted: Affine, conventional: bool) -> Change | None:
        """Return the explanation to take instead of a gain and offset; None to keep those.

        One without a standard or a curve says that the numbers are a known normalization's, where
        noise has drawn the fit away from them.

        Args:
            fitted: gain and offset by least squares, or settled to known numbers.
            conventional: whether these are somebody's numbers.
        """
        named = sorted(self._named(), key=_rms)
        if not named:
            return None
        plain = self._scored(Change(fitted), self._plain)
        free = self._free(self._plain)
        first = self._smallest(named)
        declared = min((self._scored(Change(b), self._plain) for b in self._bases), key=_rms)
        if not conventional and not _refuted(declared, free):
            plain, conventional = declared, True
        clear = self._share(plain, first) >= CLEAR if conventional else not _refuted(first, free)
        against = first if clear else plain if conventional else free
        curve = self._curve()
        if curve and self._is_bent(against, curve):
            near = first.rms < _CLIPPED * curve.rms and "gamma" not in first.change.slugs
            return replace(curve.change, rivals=(first.change.words,) if near else ())
        if clear:
            return replace(first.change, rivals=tuple(self._rivals(first, named)))
        return plain.change if plain is declared else None

    def nearest_tone(self) -> Tone | None:
        """The named curve that leaves least beside a gain and offset of its own."""
        tried = [
            (self._free(self._means(tone.apply(self._picture))), tone) for tone in named_tones()
        ]
        scored, tone = min(tried, key=lambda item: item[0].rms)
        return tone if scored.rms < self._free(self._plain).rms else None

    @cached_property
    def _plain(self) -> Means:
        return self._means(self._picture)

    def _means(self, values: NDArray[Any]) -> Means:
        import cv2

        floats = np.ascontiguousarray(values, np.float32)
        small = cv2.resize(floats, self._grid, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float64).reshape(-1, values.shape[2])

    def _scored(self, change: Change, means: Means) -> _Scored:
        gain, offset = np.array(change.base.gain), np.array(change.base.offset)
        codes = (self._fed - offset) / gain
        predicted = means[:, self._source]
        rms = float(np.sqrt(((codes - predicted) ** 2).mean()))
        return _Scored(change, predicted * gain + offset, rms)

    def _free(self, means: Means) -> _Scored:
        """Gain and offset by least squares on the block means."""
        plain = means[:, self._source]
        centered = plain - plain.mean(axis=0)
        power = np.maximum((centered**2).sum(axis=0), 1e-9)
        gain = (centered * self._fed).sum(axis=0) / power
        gain = np.where(np.abs(gain) > 1e-12, gain, 1e-12)
        offset = self._fed.mean(axis=0) - gain * plain.mean(axis=0)
        return self._scored(Change(Affine(tuple(gain), tuple(offset))), means)

    def _named(self) -> Iterator[_Scored]:
        for change, means in self._transformed():
            tried = [self._scored(replace(change, base=base), means) for base in self._bases]
            yield min(tried, key=lambda scored: scored.rms)

    def _transformed(self) -> Iterator[tuple[Change, Means]]:
        nothing = self._bases[0]
        for written in _STANDARDS:
            for read in _STANDARDS:
                if written != read:
                    yuv = Yuv(written, read, subsampled=False)
                    yield Change(nothing, yuv), self._means(through_yuv(self._picture, yuv))
        for tone in named_tones():
            yield Change(nothing, tone=tone), self._means(tone.apply(self._picture))

    def _curve(self) -> _Scored | None:
        """The best monotone curve for all channels, whatever its form."""
        parts = [self._means(np.float32(hat)[self._picture])[:, self._source] for hat in hats()]
        basis = np.stack([part.ravel() for part in parts], axis=1)
        found = []
        for base in self._bases:
            codes = (self._fed - np.array(base.offset)) / np.array(base.gain)
            heights = np.linalg.lstsq(basis, codes.ravel(), rcond=None)[0]
            tone = free_tone(heights)
            if tone:
                means = self._means(tone.apply(self._picture))
                found.append(self._scored(Change(base, tone=tone), means))
        return min(found, key=lambda scored: scored.rms, default=None)

    def _is_bent(self, against: _Scored, curve: _Scored) -> bool:
        """Whether a curve, which has nine numbers to adapt, is clearly needed."""
        halved = curve.rms <= _HALF * against.rms and against.rms >= _BENT
        return halved and self._share(against, curve) >= CLEAR

    def _share(self, one: _Scored, two: _Scored) -> float:
        """Where the tensor lies on the way from one explanation to the other: 0 to 1.

        With ``d`` the difference of what both predict and ``e`` what the first one leaves
        unexplained, it is ``<e, d> / <d, d>``. 0 where they predict the same.
        """
        gain = np.abs(np.array(two.change.base.gain))
        d, e = (two.predicted - one.predicted) / gain, (self._fed - one.predicted) / gain
        if float(np.sqrt((d**2).mean())) < _VISIBLE:
            return 0.0
        return float((e * d).sum() / (d * d).sum())

    def _smallest(self, named: list[_Scored]) -> _Scored:
        """The best explanation, or one that alleges less and cannot be told from it here."""
        best = named[0]
        for other in named[1:]:
            if other.change.slugs < best.change.slugs and self._share(other, best) < CLEAR:
                best = other
        return best

    def _rivals(self, first: _Scored, named: list[_Scored]) -> Iterator[str]:
        """The best explanation of each other kind that is not clearly worse."""
        seen = {first.change.slugs}
        for other in named:
            if other.change.slugs in seen:
                continue
            seen.add(other.change.slugs)
            if other.change.slugs > first.change.slugs:
                continue
            if self._share(other, first) < CLEAR:
                yield other.change.words


def _rms(scored: _Scored) -> float:
    return scored.rms


def _refuted(scored: _Scored, free: _Scored) -> bool:
    """Whether a free gain and offset explains so much more that a convention is ruled out."""
    return scored.rms > max(_SLACK * free.rms, free.rms + _FLOOR) + _FLOOR


def _grid(width: int, height: int) -> tuple[int, int]:
    """Blocks along the width and the height, at most a certain number, each of some pixels."""
    across, down = (min(_LARGEST_GRID, max(1, side // _LEAST_BLOCK)) for side in (width, height))
    return across, down
