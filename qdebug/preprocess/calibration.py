"""The range that the input's quantizer was calibrated on, against the range that is fed."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.normalization import KNOWN, explain, known_affine, mistakes, recognize
from qdebug.preprocess.spec import Affine
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

Span = tuple[float, float]

_RATIO_WRONG = 1.6
_OUTSIDE = 0.3
_RANGE_MATCH = 0.12


def calibration_finding(quantizer: Quantizer, fed: Span, affine: Affine | None = None) -> Finding:
    """Compare the range of the quantizer of the input with the range that is fed.

    Args:
        quantizer: of the input.
        fed: smallest and largest value that reaches it.
        affine: gain and offset from pixels to those values, if known.

    Returns:
        A finding with status pass, warn (a ratio without a known reason) or fail.
    """
    kind = KINDS["calibration-range"]
    held = quantizer.low, quantizer.high
    reach, need = _extent(held, quantizer.symmetric), _extent(fed, quantizer.symmetric)
    ratio = need / reach if reach > 0 else float("inf")
    words = (
        f"The input's quantizer holds {_span(held)}, the pipeline gives {_span(fed)}"
        if affine
        else f"The input's quantizer holds {_span(held)}, fed are {_span(fed)}"
    )
    fits = 1 / _RATIO_WRONG <= ratio <= _RATIO_WRONG
    if fits and not _shifted(held, fed, quantizer.symmetric):
        return kind.found("pass", kind.passed, words)
    reason = _reason(quantizer, fed, affine)
    rows = [["calibrated", *held], ["fed", *fed]]
    return kind.found(
        "fail" if reason else "warn",
        kind.title,
        f"{words}: {_times(ratio)}" + (f"; {reason}" if reason else ""),
        "Calibrate again with exactly the preprocessing that the model is fed with, or feed what"
        " it was calibrated with.",
        confidence="high" if reason else "medium",
        evidence=(Evidence("table", "Ranges", {"columns": ["", "from", "to"], "rows": rows}),),
    )


def full_range(affine: Affine) -> Span:
    """Smallest and largest value that a normalization makes of pixels 0..255."""
    ends = [(b, 255 * a + b) for a, b in zip(affine.gain, affine.offset, strict=True)]
    return min(min(pair) for pair in ends), max(max(pair) for pair in ends)


def _span(span: Span) -> str:
    return f"{span[0]:.4g}..{span[1]:.4g}"


def _extent(span: Span, symmetric: bool) -> float:
    return max(abs(span[0]), abs(span[1])) if symmetric else span[1] - span[0]


def _shifted(held: Span, fed: Span, symmetric: bool) -> bool:
    """Whether a fair share of what is fed lies outside the calibrated range."""
    if symmetric:
        return False
    outside = max(0.0, held[0] - fed[0]) + max(0.0, fed[1] - held[1])
    return outside > _OUTSIDE * (fed[1] - fed[0])


def _times(ratio: float) -> str:
    if ratio >= 1:
        return f"what is fed is {ratio:.3g} times as wide"
    if ratio > 0:
        return f"the quantizer is {1 / ratio:.3g} times as wide as needed"
    return "what is fed is constant"


def _reason(quantizer: Quantizer, fed: Span, affine: Affine | None) -> str:
    """Explain the calibrated range by a mistake on either side, or by well-known ranges."""
    known = ((name, known_affine(name)) for name in KNOWN)
    was = _nearest(quantizer, known)
    if affine is None:
        now = _nearest(Quantizer(*fed, quantizer.symmetric), ((n, known_affine(n)) for n in KNOWN))
    else:
        now = recognize(affine)
        sentence = _mistake(quantizer, affine, was)
        if sentence:
            return sentence
    if was and now and was != now:
        return f"calibration looks like {was}, what is fed like {now}"
    return ""


def _mistake(quantizer: Quantizer, affine: Affine, was: str | None) -> str:
    """Name the mistake in the calibration, or that in the pipeline if it is the calibrated one."""
    in_calibration = _nearest(quantizer, mistakes(affine))
    if in_calibration:
        other = _two_sided(quantizer) if quantizer.symmetric else None
        return f"as if in calibration {in_calibration}" + (f", or as with {other}" if other else "")
    if was is None:
        return ""
    for told in explain(known_affine(was, len(affine.gain)), affine, swapped=False):
        if not told.sentence.startswith("another normalization"):
            return f"calibration looks like {was}; in the pipeline, {told.sentence}"
    return ""


def _two_sided(quantizer: Quantizer) -> str | None:
    """A well-known range below and above zero that a symmetric quantizer holds as exactly.

    Symmetric calibration gives values of 0..1 the range -1..1.
    """
    whole = Quantizer(quantizer.low, quantizer.high, False)
    return _nearest(whole, ((name, known_affine(name)) for name in KNOWN))


def _nearest(quantizer: Quantizer, candidates: Iterator[tuple[str, Affine]]) -> str | None:
    """Return the candidate whose full range is nearest to the quantizer's, if one is near."""
    best, least = None, _RANGE_MATCH
    held, symmetric = (quantizer.low, quantizer.high), quantizer.symmetric
    for name, affine in candidates:
        span = full_range(affine)
        width = _extent(span, symmetric)
        gap = abs(_extent(held, symmetric) - width)
        if not symmetric:
            gap = max(gap, abs(held[0] - span[0]), abs(held[1] - span[1]))
        if width and gap / width < least:
            best, least = name, gap / width
    return best
