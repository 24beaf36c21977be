"""From fitted gains and offsets back to the numbers that somebody wrote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.normalization import KNOWN, difference_in_codes
from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.recover.fit import ChannelFit
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import ARITHMETIC, Cast, Normalize, Offset, Scale, Step

_LEAST_TOLERANCE, _MOST_TOLERANCE = 5e-4, 0.05
"""Codes by which a mean may miss a number that somebody wrote. 0.0005 is half of the last digit of
the published ones (123.675), 0.05 half of a tenth, the fewest digits in use."""
_STD_TOLERANCE = 2e-4
"""The same for a std, relative: published ones have four digits (58.395)."""
_OFF_SHARE, _MOST_OFF = 0.15, 2.0
"""Of what remains unexplained, the share by which a fitted mean may be off, and in codes at most.
By judgement: what pictures lose on their way has a mean near zero."""
_BIAS = 3.0
"""A gain is biased by this many times the unexplained share at most: compression, chroma and
filters take contrast away. By judgement."""
_NOISY, _DROWNED, _SLIGHT = 0.3, 0.9, 0.1
"""From this noise on, in codes, a map whose own error is below 0.9 of the noise, or one code and a
tenth of it, cannot be told from the fit. By judgement."""
_LATTICE_SAMPLES, _LATTICE_GAP = 20000, 0.05
"""Values looked at first, and how far a step of a grid may be from a whole number of them: float32
keeps a thousandth. By judgement."""
_HIDDEN = 1.1
"""Codes between two well-known normalizations (127.5 and 128) that no noisy fit tells apart."""

Floats = NDArray[np.float64]


def arithmetic(fitted: Affine, reference: PreprocessSpec | None, error: float) -> tuple[Step, ...]:
    """Write a fitted affine map as steps with plain numbers.

    The reference's own steps are taken where they fit, then well-known numbers, then the shortest
    decimals within the fit's accuracy.

    Args:
        fitted: the map from pixels 0..255, by tensor channel.
        reference: the pipeline that should have made the tensor.
        error: the data type's rounding in pixel codes, which limits the fit's accuracy.
    """
    tolerance = min(max(0.05 * error, _LEAST_TOLERANCE), _MOST_TOLERANCE)
    if reference and _fits(reference.affine, fitted, _MOST_TOLERANCE):
        return tuple(s for s in reference.steps if isinstance(s, ARITHMETIC))
    for mean, std in KNOWN.values():
        count = len(fitted.gain)
        known = Affine(*_reciprocal(mean[:count], std[:count]))
        if _fits(known, fitted, _MOST_TOLERANCE):
            return _steps(mean[:count], std[:count])
    std_found = tuple(_simplest(s, abs(s) * _STD_TOLERANCE) for s in fitted.std)
    mean_found = tuple(_simplest(m, max(tolerance, abs(m) * 1e-5)) for m in fitted.mean)
    return _steps(mean_found, std_found)


def settle(fit: ChannelFit, reference: PreprocessSpec | None, error: float) -> Affine:
    """Take the reference's numbers, or well-known ones, where the fit is no more accurate.

    What a picture lost on its way (compression, chroma, another filter) biases a least-squares
    gain by a few times the unexplained share at most; the mean stays.

    Args:
        fit: the fitted gains and offsets.
        reference: the pipeline that should have made the tensor.
        error: rounding of the tensor's data type, in pixel codes.
    """
    known = [Affine(*_reciprocal(m, s)) for m, s in KNOWN.values()]
    if reference:
        declared = reference.affine
        known = [declared, Affine(declared.gain[::-1], declared.offset[::-1]), *known]
    for candidate in known:
        if len(candidate.gain) == len(fit.gain) and _agrees(candidate, fit, error):
            return _declared_if_near(candidate, reference, fit)
    return fit.affine


def _declared_if_near(found: Affine, reference: PreprocessSpec | None, fit: ChannelFit) -> Affine:
    """Take the reference's numbers where noise hides half a code between them and others."""
    if reference is None or fit.rms < _NOISY or len(reference.affine.gain) != len(found.gain):
        return found
    near = difference_in_codes(reference.affine, found) <= _HIDDEN
    return reference.affine if near else found


def _reciprocal(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    pairs = zip(mean, std, strict=True)
    return tuple(1 / s for s in std), tuple(-m / s for m, s in pairs)


def _agrees(candidate: Affine, fit: ChannelFit, error: float) -> bool:
    """Whether a map differs from the fit by no more than the fit's own uncertainty."""
    gain, offset = np.array(candidate.gain), np.array(candidate.offset)
    slope = np.abs(np.array(fit.gain) / gain - 1)
    unexplained = 1 - np.array(fit.explained)
    rounding = 1e-3 * (error + min(1.0, fit.rms))
    uncertain = _STD_TOLERANCE + rounding + _BIAS * unexplained
    middle = (np.array(fit.gain) - gain) * fit.center + np.array(fit.offset) - offset
    off = np.abs(middle / gain)
    limit = 0.05 * (1 + error) + min(_MOST_OFF, _OFF_SHARE * fit.rms)
    within = bool((slope <= uncertain).all() and (off <= limit).all())
    return within or _drowned(slope * np.array(fit.spread), off, fit.rms)


def _drowned(by_slope: Floats, by_offset: Floats, noise: float) -> bool:
    """Whether a map's own error, in codes, is less than what remains unexplained anyway."""
    own = float(np.sqrt((by_slope**2 + by_offset**2).max()))
    return noise >= _NOISY and own <= min(_DROWNED * noise, 1 + _SLIGHT * noise)


def _fits(known: Affine, fitted: Affine, tolerance: float) -> bool:
    if len(known.gain) != len(fitted.gain):
        return False
    gains = np.allclose(known.gain, fitted.gain, rtol=_STD_TOLERANCE)
    return gains and bool(np.allclose(known.mean, fitted.mean, atol=tolerance))


def _simplest(value: float, tolerance: float) -> float:
    """Round to the fewest significant digits that stay within the tolerance."""
    for digits in range(1, 9):
        candidate = rounded(value, digits)
        if abs(candidate - value) <= tolerance:
            return candidate + 0.0
    return value


def _steps(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Step, ...]:
    """Write mean and std on 0..255 in the shortest way."""
    one_mean, one_std = _compact(mean), _compact(std)
    if one_mean == (0.0,) and len(one_std) == 1:
        return () if one_std == (1.0,) else (Scale(one_std[0], divide=True),)
    if one_std == (1.0,) and len(one_mean) == 1 and one_mean[0] == int(one_mean[0]):
        return (Offset(-int(one_mean[0])),)
    return (Normalize(one_mean, one_std),)


def _compact(values: tuple[float, ...]) -> tuple[float, ...]:
    return values[:1] if len(set(values)) == 1 else values


def cast_step(dtype: np.dtype[np.generic]) -> tuple[Step, ...]:
    """Return the step that makes the fed data type; none for float32."""
    known: dict[str, Step] = {
        "float16": Cast("float16"),
        "float64": Cast("float64"),
        "uint8": Cast("uint8"),
        "int8": Cast("int8"),
        "uint16": Cast("uint16"),
        "int16": Cast("int16"),
        "int32": Cast("int32"),
    }
    return (known[dtype.name],) if dtype.name in known else ()


def lattice_step(fed: NDArray[np.generic]) -> float:
    """Return the step of the grid on which all values of a float tensor lie; 0 without one.

    A quantizer's rounding leaves at most 256 values for all channels together.
    """
    if fed.dtype.kind != "f":
        return 0.0
    flat = fed.reshape(-1)
    few = np.unique(flat[:: max(1, flat.size // _LATTICE_SAMPLES)])
    if not 8 <= len(few) <= 256:
        return 0.0
    values = np.unique(flat).astype(np.float64)
    if len(values) > 256:
        return 0.0
    step = float(np.diff(values).min())
    steps = np.diff(values) / step
    return step if float(np.abs(steps - np.rint(steps)).max()) < _LATTICE_GAP else 0.0


def quantum(fed: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> float:
    """Return the largest rounding error of the tensor's data type, in tensor units."""
    if fed.dtype.kind in "iu":
        return 0.5
    largest = float(np.nanmax(np.abs(fed.astype(np.float32)))) if fed.size else 0.0
    return largest * (2.0**-11 if fed.dtype == np.float16 else 2.0**-22)
