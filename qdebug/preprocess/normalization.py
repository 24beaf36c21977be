"""Naming the difference between two normalizations in closed form.

With mean ``m`` and std ``s`` on 0..1, a pipeline computes ``(x / 255 - m) / s`` of a pixel ``x``;
each mistake that people make with these numbers has a gain and an offset of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.spec import Affine

Floats = NDArray[np.float64]

NOTICEABLE_CODES = 0.25
"""Two affine maps that differ by less than this share of a pixel code are the same."""
_MATCH = 0.01
"""A closed form explains a map if it misses it by at most this share of the map's own range."""


@dataclass(frozen=True)
class Explanation:
    """A slug that explains a normalization, and a sentence."""

    slug: str
    sentence: str
    invented: bool = False
    """Whether the numbers are nobody's convention."""


@dataclass(frozen=True)
class _Map:
    """Gain and offset by tensor channel, on pixels 0..255."""

    gain: Floats
    offset: Floats

    @classmethod
    def of(cls, affine: Affine) -> _Map:
        return cls(np.array(affine.gain), np.array(affine.offset))

    def affine(self) -> Affine:
        return Affine(tuple(self.gain.tolist()), tuple(self.offset.tolist()))

    def reversed(self) -> _Map:
        return _Map(self.gain[::-1], self.offset[::-1])

    def differs_in_codes(self, other: _Map) -> float:
        """Largest difference over pixels 0..255, in this map's own pixel codes."""
        return _largest_gap(self, other) / float(np.abs(self.gain).min())

    def explains(self, other: _Map) -> bool:
        """Whether ``other`` is this map but for rounding."""
        span = 255 * float(np.abs(other.gain).max())
        return _largest_gap(self, other) <= _MATCH * span


def _largest_gap(one: _Map, two: _Map) -> float:
    gain, offset = one.gain - two.gain, one.offset - two.offset
    return float(np.maximum(np.abs(offset), np.abs(255 * gain + offset)).max())


def difference_in_codes(reference: Affine, other: Affine) -> float:
    """Largest difference of two normalizations over pixels 0..255, in codes of the reference."""
    return _Map.of(reference).differs_in_codes(_Map.of(other))


def roughly_equal(reference: Affine, other: Affine) -> bool:
    """Whether two normalizations agree but for 8-bit rounding of their numbers."""
    return len(reference.gain) == len(other.gain) and _Map.of(reference).explains(_Map.of(other))


def explain(reference: Affine, other: Affine, swapped: bool) -> list[Explanation]:
    """Name what makes ``other`` of ``reference``.

    Args:
        reference: the normalization that is right.
        other: the one that was found, of the same number of channels.
        swapped: whether red and blue stand in each other's place in ``other``.

    Returns:
        Nothing if both are the same. What no closed form explains is ``missing-normalization``,
        with the known normalization it resembles, if any.
    """
    right, found = _Map.of(reference), _Map.of(other)
    for form in (_identity(right), *_closed_forms(right)):
        for order_slug, order_words, base in _orders(right, form, swapped):
            if not _same(base, found, exact=form.slug is None):
                continue
            named = ((order_slug, order_words), (form.slug, form.sentence))
            return [Explanation(slug, words) for slug, words in named if slug]
    unexplained = Explanation(
        "missing-normalization", _unexplained(other), recognize(other) is None
    )
    order = [Explanation("channel-order", "R and B are swapped")] if swapped else []
    return [*order, unexplained]


def mistakes(reference: Affine) -> Iterator[tuple[str, Affine]]:
    """Yield what the known mistakes with a normalization compute, each with its sentence."""
    for form in _closed_forms(_Map.of(reference)):
        yield form.sentence, form.map.affine()


def _same(predicted: _Map, found: _Map, exact: bool) -> bool:
    if exact:
        return predicted.differs_in_codes(found) <= NOTICEABLE_CODES
    return predicted.explains(found)


@dataclass(frozen=True)
class _Form:
    """A mistake's map, with the numbers in the reference's order."""

    slug: str | None
    sentence: str
    map: _Map


def _identity(right: _Map) -> _Form:
    return _Form(None, "", right)


def _orders(right: _Map, form: _Form, swapped: bool) -> Iterator[tuple[str | None, str, _Map]]:
    """Yield the ways in which channels and numbers may be exchanged."""
    uniform = np.ptp(right.gain) == 0 and np.ptp(right.offset) == 0
    if swapped:
        when = "" if uniform else " before the normalization"
        yield "channel-order", f"R and B are swapped{when}", form.map
        if not uniform:
            yield (
                "channel-order",
                "R and B are swapped after the normalization",
                form.map.reversed(),
            )
        return
    yield None, "", form.map
    if uniform or len(right.gain) != 3:
        return
    yield "mean-std-order", "mean and std stand in the opposite channel order", form.map.reversed()
    mean, std = -form.map.offset / form.map.gain, 1 / form.map.gain
    only_mean = _Map(1 / std, -mean[::-1] / std)
    only_std = _Map(1 / std[::-1], -mean / std[::-1])
    yield "mean-std-order", "the mean stands in the opposite channel order", only_mean
    yield "mean-std-order", "the std stands in the opposite channel order", only_std


def _closed_forms(right: _Map) -> Iterator[_Form]:
    """Yield the known mistakes, the likelier of two that give the same numbers first."""
    a, b = right.gain, right.offset
    zero = np.zeros_like(a)
    mean, std = -b / a / 255, 1 / a / 255
    pixels = bool((np.abs(a) >= 0.5).all())
    if pixels:
        yield _Form("missing-scale", "0..1 is fed where 0..255 is expected", _Map(a / 255, b))
        yield _Form("missing-scale", "0..1 is fed where 0..255 is expected", _Map(a / 255, b / 255))
    else:
        yield _Form("missing-scale", "the values are not divided by 255", _Map(a * 255, b))
    for shift, words in (
        (-128, "128 is subtracted once too often"),
        (128, "128 is not subtracted"),
    ):
        yield _Form("integer-offset", words, _Map(a, b + shift * a))
    if not pixels:
        yield from _normalized_forms(a, b, mean, std)
    neither = "neither the division by 255 nor mean and std are applied"
    if b.any() or not _is_unit(std):
        yield _Form(
            "missing-normalization", "mean and std are not applied", _Map(zero + 1 / 255, zero)
        )
    yield _Form("missing-normalization", neither, _Map(zero + 1, zero))
    shifted = "the values are pixels minus 128: no normalization is applied"
    yield _Form("missing-normalization", shifted, _Map(zero + 1, zero - 128))


def _normalized_forms(a: Floats, b: Floats, mean: Floats, std: Floats) -> Iterator[_Form]:
    """Yield the mistakes with a division by 255, a mean and a std."""
    if b.any() or not _is_unit(std):
        twice = "mean and std are applied twice (gain 1/std, offset -mean/std)"
        yield _Form("double-normalization", twice, _Map(a / std, (b - mean) / std))
        again = _Map(a / (255 * std), (b - 255 * mean) / (255 * std))
        yield _Form("double-normalization", twice, again)
    divided = "the division by 255 is applied twice"
    if b.any():
        divided += ", or mean and std of 0..255 are used on 0..1 data, which gives the same numbers"
    yield _Form("double-normalization", divided, _Map(a / 255, b))
    if b.any():
        yield _Form(
            "std-not-scaled",
            "std of the 0..255 domain is used on 0..1 data",
            _Map(a / 255, b / 255),
        )
        yield _Form(
            "std-not-scaled", "mean of the 0..255 domain is used on 0..1 data", _Map(a, 255 * b)
        )
        no_mean = "std is applied, the mean is not subtracted"
        yield _Form("missing-normalization", no_mean, _Map(a, np.zeros_like(b)))
        no_std = "the mean is subtracted, std is not applied"
        yield _Form("missing-normalization", no_std, _Map(np.full_like(a, 1 / 255), -mean))
    if not _is_unit(std):
        confused = "the values are multiplied by std instead of divided (1/std confused with std)"
        yield _Form("std-not-scaled", confused, _Map(std / 255, -mean * std))


def _is_unit(std: Floats) -> bool:
    return bool(np.allclose(std, 1, rtol=1e-3))


KNOWN: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet's mean and std": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "ImageNet's mean and std in B,G,R order": ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
    "the range 0..1": ((0.0,) * 3, (255.0,) * 3),
    "the range 0..255": ((0.0,) * 3, (1.0,) * 3),
    "the range -1..1": ((127.5,) * 3, (127.5,) * 3),
    "mean 127 and std 128": ((127.0,) * 3, (128.0,) * 3),
    "mean 127.5 and std 128": ((127.5,) * 3, (128.0,) * 3),
    "mean 128 and std 128": ((128.0,) * 3, (128.0,) * 3),
    "the scale 1/128": ((0.0,) * 3, (128.0,) * 3),
    "ncnn's example for Caffe models (mean 104,117,123, norm 0.017)": (
        (104.0, 117.0, 123.0),
        (1 / 0.017,) * 3,
    ),
    "Caffe's mean pixel": ((103.939, 116.779, 123.68), (1.0,) * 3),
    "Caffe's rounded mean pixel": ((104.0, 117.0, 123.0), (1.0,) * 3),
    "CLIP's mean and std": (
        (122.7709383, 116.7460125, 104.09373615),
        (68.5005327, 66.6321579, 70.3231628),
    ),
    "pixels minus 128": ((128.0,) * 3, (1.0,) * 3),
}
"""Well-known normalizations, as mean and std on 0..255."""


def known_affine(name: str, channels: int = 3) -> Affine:
    """Return gain and offset of a normalization in ``KNOWN``."""
    mean, std = (np.array(numbers)[:channels] for numbers in KNOWN[name])
    return _Map(1 / std, -mean / std).affine()


def recognize(affine: Affine) -> str | None:
    """Return the name of a well-known normalization with these numbers."""
    found = _Map.of(affine)
    for name in KNOWN:
        known = _Map.of(known_affine(name, len(affine.gain)))
        if known.explains(found) and known.differs_in_codes(found) < 1:
            return name
    return None


def _unexplained(other: Affine) -> str:
    known = recognize(other)
    mean = ",".join(f"{rounded(m, 5):g}" for m in other.mean)
    std = ",".join(f"{rounded(s, 5):g}" for s in other.std)
    numbers = f"mean {mean} std {std} on 0..255"
    return f"another normalization is applied: {numbers}" + (f", that is {known}" if known else "")
