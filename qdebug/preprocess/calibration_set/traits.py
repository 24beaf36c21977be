"""What a calibration set's entries look like: values, borders, and small pictures of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.calibration_set.entries import Entry
from qdebug.preprocess.decode import decode_file
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.recover.storage import agreeing_views
from qdebug.preprocess.spec import Affine
from qdebug.preprocess.steps import Decode

Array = NDArray[Any]
_THUMB = 16
_SAMPLES = 20000
_WHOLE = 0.05
"""Mean distance from whole pixel codes below which values are codes: rounding to float16 leaves at
most 0.03, values on another scale 0.25 (uniform)."""
_INSIDE = 0.6


@dataclass(frozen=True)
class Look:
    """One entry, small.

    Attributes:
        name: of the entry.
        digest: hash of its values.
        thumb: brightness, [16, 16], mean 0 and norm 1; zeros for a constant entry.
        smooth: correlation of near pixels, high for pictures, 0 for noise.
        mean: average of all values.
        spread: standard deviation of all values.
        low: smallest value of each channel.
        high: largest value of each channel.
        samples: values [positions, channels], tensors only.
        whole: whether the values are of an integer type.
        border: value of each channel in the constant strips at two opposite edges; None without.
        size: (width, height).
        layout: the axes, for people.
    """

    name: str
    digest: bytes
    thumb: Array
    smooth: float
    mean: float
    spread: float
    low: Array
    high: Array
    samples: Array | None
    whole: bool
    border: Array | None
    size: Wh
    layout: str


def look_at(entry: Entry) -> Look:
    """Reduce an entry to what is judged.

    Raises:
        InputError: it is no picture's tensor, or a picture that cannot be decoded.
    """
    if entry.picture is not None:
        values: Array = decode_file(entry.picture, Decode("cv2"))
        layout = "picture"
        raw = values
    else:
        assert entry.tensor is not None
        views = agreeing_views(entry.tensor, None)
        if not views:
            raise InputError(
                f"{entry.name} of shape {list(entry.tensor.shape)} is no picture's tensor",
                "give [1, 3, H, W] or [1, H, W, 3]",
            )
        values, layout, raw = views[0].values, views[0].layout.name.upper(), entry.tensor
    floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise InputError(f"{entry.name} holds values that are NaN or infinite")
    return Look(
        entry.name,
        hashlib.sha256(np.ascontiguousarray(raw).tobytes()).digest(),
        _thumb(floats),
        _smoothness(floats),
        float(floats.mean()),
        float(floats.std()),
        floats.min(axis=(0, 1)),
        floats.max(axis=(0, 1)),
        _samples(floats) if entry.picture is None else None,
        values.dtype.kind in "iu",
        _border(floats),
        (values.shape[1], values.shape[0]),
        layout,
    )


def _samples(values: Array) -> Array:
    flat = values.reshape(-1, values.shape[2])
    return flat[:: max(1, len(flat) // _SAMPLES)].astype(np.float64)


def _thumb(values: Array) -> Array:
    import cv2

    mean = np.ascontiguousarray(values.mean(axis=2), np.float32)
    small = np.asarray(cv2.resize(mean, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA), np.float64)
    centered = small - small.mean()
    norm = float(np.sqrt((centered**2).sum()))
    return np.asarray(centered / norm if norm > 1e-9 else centered * 0)


def _smoothness(values: Array) -> float:
    """The largest correlation of pixels one or two apart, whatever its sign: stripes turn it."""
    mean = values.mean(axis=2, dtype=np.float64)
    lags = [(mean[:, :-k], mean[:, k:]) for k in (1, 2)]
    lags += [(mean[:-k], mean[k:]) for k in (1, 2)]
    return max(abs(_correlation(one, two)) for one, two in lags)


def _correlation(one: Array, two: Array) -> float:
    a, b = one - one.mean(), two - two.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 1.0


def _border(values: Array) -> Array | None:
    """The value at two opposite edges, or at the far end of one, where rows or columns hold it."""
    if float(np.ptp(values)) == 0:
        return None
    for lines in (values, values.transpose(1, 0, 2)):
        last = lines[-1]
        if np.ptp(last, axis=0).max() == 0 and np.ptp(lines[-2], axis=0).max() == 0:
            value = last[0]
            if (lines[-2][0] == value).all():
                return np.asarray(value, np.float64)
    return None


def on_codes(samples: Array, affine: Affine) -> bool:
    """Whether a normalization makes these values of whole pixel codes 0..255."""
    if samples.shape[1] != len(affine.gain):
        return False
    codes = (samples - np.array(affine.offset)) / np.array(affine.gain)
    inside = codes.min() >= -_INSIDE and codes.max() <= 255 + _INSIDE
    if not inside or float(np.ptp(codes)) < 2:
        return False
    return float(np.abs(codes - np.rint(codes)).mean()) < _WHOLE


def alike(looks: Sequence[Look], least: float) -> list[tuple[int, int]]:
    """Pairs of entries whose small pictures correlate at least so."""
    thumbs = np.stack([look.thumb.ravel() for look in looks])
    close = np.triu(thumbs @ thumbs.T, 1) >= least
    return [(int(i), int(j)) for i, j in np.argwhere(close)]
