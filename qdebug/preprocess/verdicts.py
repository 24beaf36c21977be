"""Findings about preprocessing: what was seen, what to do, how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.differences import Difference, Weight
from qdebug.preprocess.formatting import format_step
from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import ARITHMETIC
from qdebug.run.kinds import KINDS, Kind
from qdebug.run.model import Confidence, Evidence, Finding, FindingStatus

if TYPE_CHECKING:  # only what was fed is recovered, and most comparisons are given no such file
    from qdebug.preprocess.recover import Recovery

_BENIGN_DB = 40.0
_SEVERE_DB = 15.0
_CONTRACTS = ("layout", "row-stride")


def finding(
    difference: Difference, found: Recovery, reference: PreprocessSpec, effect: float | None
) -> Finding:
    """Make the finding of one difference."""
    kind = KINDS[difference.slug]
    status = grade(difference, effect)
    effect = None if difference.weight in ("benign", "contract") else effect
    advice = advice_on(difference, reference)
    if difference.weight in ("benign", "contract") and difference.slug in _CONTRACTS:
        advice = f"This is right where the input is declared so. If it is not: {advice}"
    seen = difference.sentence[:1].upper() + difference.sentence[1:] + cost(effect)
    return kind.found(
        status,
        kind.title,
        seen,
        advice,
        confidence=_confidence(found),
        evidence=_evidence(difference, found, reference),
    )


def advice_on(difference: Difference, reference: PreprocessSpec) -> str:
    """Write what to do about a difference from the pipeline that is right."""
    return KINDS[difference.slug].advice.format(
        spec=reference,
        reference=difference.reference,
        found=difference.found,
        numbers=numbers(reference),
    )


def numbers(spec: PreprocessSpec) -> str:
    """Write the arithmetic of a pipeline alone."""
    return " | ".join(format_step(s) for s in spec.steps if isinstance(s, ARITHMETIC))


def cost(effect: float | None) -> str:
    """Write the effect on the float model's output as the end of a sentence."""
    if effect is None or not np.isfinite(effect):
        return ""
    return f"; the float model's output is then at {effect:.1f} dB SQNR"


def grade(difference: Difference, effect: float | None) -> FindingStatus:
    """Grade a difference by its kind and, where it is a matter of degree, by its effect."""
    always: dict[Weight, FindingStatus] = {"benign": "info", "contract": "warn", "mistake": "fail"}
    if difference.weight in always:
        return always[difference.weight]
    if difference.weight == "slight":
        return "warn" if effect is not None and effect < _SEVERE_DB else "info"
    if effect is None:
        return "warn"
    if effect >= _BENIGN_DB:
        return "info"
    return "fail" if effect < _SEVERE_DB else "warn"


def _confidence(found: Recovery) -> Confidence:
    if found.exact:
        return "high"
    return "medium" if found.close else "low"


def _evidence(
    difference: Difference, found: Recovery, reference: PreprocessSpec
) -> tuple[Evidence, ...]:
    items: list[list[str | float]] = [
        ["in the reference", difference.reference],
        ["in what was fed", difference.found],
        ["reference", str(reference)],
        ["recovered", str(found.spec)],
        ["unexplained, rms in pixel codes", rounded(found.fit.rms, 3)],
    ]
    affine = reference.affine
    tables = [Evidence("key_values", "What was found", {"items": items})]
    if len(affine.gain) == len(found.fit.gain):
        gains = np.array(found.fit.gain) / np.array(affine.gain)
        offsets = np.array(found.fit.offset) - gains * np.array(affine.offset)
        rows = [
            [k, rounded(float(g), 6), rounded(float(o), 6)]
            for k, (g, o) in enumerate(zip(gains, offsets, strict=True))
        ]
        data = {"columns": ["channel", "gain", "offset"], "rows": rows}
        tables.append(Evidence("table", "fed = gain * reference + offset", data))
    return tuple(tables)


def ambiguous(candidates: list[Difference]) -> Finding:
    """Say which differences a gray picture leaves open."""
    swapped = "R and B swapped after the normalization"
    names = dict.fromkeys([swapped, *(d.sentence for d in candidates)])
    return _unidentified(
        "warn",
        f"The picture is gray, so these cannot be told apart: {'; '.join(names)}",
        "Check with a coloured picture: `qdebug preprocess probe -o probe.png` makes one.",
    )


def blind(notes: Sequence[str]) -> tuple[Finding, ...]:
    """Say what the picture cannot tell; nothing if it tells all."""
    if not notes:
        return ()
    return (
        _unidentified(
            "info",
            "With this picture it cannot be told: " + "; ".join(notes),
            "If one of these may be wrong, check with the picture that"
            " `qdebug preprocess probe -o probe.png` makes.",
        ),
    )


def nobodys(difference: Difference, effect: float | None) -> Finding:
    """Say that the values fit a mean and std that is nobody's convention."""
    sentence = difference.sentence[:1].upper() + difference.sentence[1:]
    return _unidentified(
        "warn",
        f"{sentence}. That is nobody's convention: a changed contrast, a white balance or numbers"
        f" of somebody's own give such values; the reference has {difference.reference}"
        + cost(effect),
        "Look up what computes the values that are fed. If these are the numbers the model was"
        " trained with, give them with -p.",
    )


def several(doubted: Sequence[Difference], found: Recovery, effect: float | None) -> Finding:
    """Say that more than one convention explains the values of the pixels, or none well."""
    first = " and ".join(d.sentence for d in doubted)
    if found.rivals:
        told = f"On this picture these cannot be told apart: {'; '.join((first, *found.rivals))}"
    else:
        told = (
            f"Nothing known explains them; the nearest, {first}, leaves {found.fit.rms:.1f} codes"
        )
    return _unidentified(
        "warn",
        f"The values of the pixels differ. {told}" + cost(effect),
        "Check with the picture that `qdebug preprocess probe -o probe.png` makes.",
    )


def residual(
    found: Recovery, findings: Sequence[Finding], effect: float | None = None
) -> tuple[Finding, ...]:
    """Say what the recovered pipeline leaves unexplained, if anything."""
    kind = KINDS["decoder-difference"]
    if found.exact or found.approximate or any(f.slug == kind.slug for f in findings):
        return ()
    rms, largest = found.fit.rms, found.fit.max
    numbers = f"{rms:.2f} codes on average (rms), {largest:.0f} at most"
    if not found.close:
        seen = f"The nearest pipeline, '{found.spec}', leaves {numbers} unexplained"
        advice = "Check with `qdebug preprocess probe -o probe.png`, whose picture tells more."
        return (_unidentified("warn", seen, advice),)
    seen = f"The pixels differ by {numbers}, as another decoder, JPEG compression or chroma does"
    return (kind.found("info", kind.title, seen + cost(effect), kind.advice),)


def _unidentified(status: FindingStatus, seen: str, advice: str) -> Finding:
    kind = KINDS["not-identifiable"]
    return kind.found(status, kind.title, seen, advice, confidence="high")


def unexplained(fed: NDArray[Any]) -> Finding:
    """Say that no pipeline was found: unknown processing is no proof of a mistake."""
    low, high = float(fed.min()), float(fed.max())
    if low == high:
        seen = f"The tensor holds nothing but {low:g}: no picture was fed"
        return _unidentified("fail", seen, "Find out what wrote it, and when.")
    return _unidentified(
        "warn",
        f"No known pipeline makes this {fed.dtype} {list(fed.shape)}, {low:.4g}..{high:.4g}, from"
        " this picture: the picture may be another one, or the processing is of a kind that is"
        " not known",
        "Make sure that both belong together; then check with the picture that"
        " `qdebug preprocess probe -o probe.png` makes.",
    )


def passed(kind: Kind) -> Finding:
    """Say that a mistake was ruled out."""
    return kind.found("pass", kind.passed[:1].upper() + kind.passed[1:], kind.passed)
