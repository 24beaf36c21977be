"""Judging a pipeline against what the graphs' own first nodes and quantizers say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.preprocess.differences import Difference, differences
from qdebug.preprocess.formatting import format_step
from qdebug.preprocess.graph_front import GraphFront
from qdebug.preprocess.normalization import KNOWN
from qdebug.preprocess.slugs import ADVICE, IDS, TITLES
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import ARITHMETIC
from qdebug.run.model import Evidence, Finding

_VALUE_SLUGS = frozenset(
    {
        "double-normalization",
        "missing-normalization",
        "missing-scale",
        "std-not-scaled",
        "mean-std-order",
        "channel-order",
        "integer-offset",
    }
)
_RATIO_WRONG = 1.6
_RANGE_MATCH = 0.12
_TWO = 2


def front_findings(
    spec: PreprocessSpec, front: GraphFront, side: str = "float"
) -> tuple[Finding, ...]:
    """Say what a graph's first nodes compute, and whether the pipeline does it again.

    Args:
        spec: the pipeline that feeds the graph.
        front: what the graph does to its input.
        side: which graph it is, ``float`` or ``quant``.
    """
    findings = []
    if front.unknown:
        seen = f"The {side} graph's first node is '{front.unknown}', whose effect is not known"
        advice = "Compare the tensor behind it with what the float model is fed (`--fed`)."
        findings.append(_info(seen, advice, front))
    if front.normalizes:
        seen = f"The {side} graph {front.describe()} before its first layer"
        findings.append(
            _info(seen, "Feed the values that these nodes expect, and no others.", front)
        )
        findings += [_conflict(c, spec, front, side) for c in _conflicts(spec, front)]
    return tuple(findings)


def _info(seen: str, advice: str, front: GraphFront) -> Finding:
    slug = "normalization-in-graph"
    items = [[str(i), node] for i, node in enumerate(front.nodes, 1)]
    evidence = (Evidence("key_values", "Nodes", {"items": items}),) if items else ()
    return Finding(
        IDS[slug],
        slug,
        "info",
        "info",
        TITLES[slug],
        seen,
        advice,
        confidence="high",
        evidence=evidence,
    )


def _conflicts(spec: PreprocessSpec, front: GraphFront) -> Iterator[tuple[str, str]]:
    """Yield the slugs and sentences in which a pipeline contradicts the graph's front."""
    outside, inside = spec.affine, Affine(front.gain, front.offset)
    centered_outside, centered_inside = any(outside.offset), any(inside.offset)
    divides_outside = max(np.abs(outside.gain)) < 0.05
    divides_inside = max(np.abs(inside.gain)) < 0.05
    if centered_outside and centered_inside and len(outside.gain) > 1:
        yield (
            "double-normalization",
            "mean and std are applied outside and once more inside the graph",
        )
    elif divides_outside and divides_inside:
        yield (
            "double-normalization",
            "the values are scaled down outside and once more inside the graph",
        )
        return
    unit_domain = centered_inside and max(np.abs(inside.mean)) < _TWO
    if unit_domain and max(outside.gain) >= 0.5:
        yield "missing-scale", "the graph's mean and std are of the 0..1 domain, 0..255 is fed"


def _conflict(
    conflict: tuple[str, str], spec: PreprocessSpec, front: GraphFront, side: str
) -> Finding:
    slug, sentence = conflict
    outside = (
        " | ".join(format_step(s) for s in spec.steps if isinstance(s, ARITHMETIC)) or "nothing"
    )
    items = [
        ["outside, in the pipeline", outside],
        [f"inside, in the {side} graph", ", ".join(front.nodes)],
        ["together", f"gain {_numbers(front, spec).gain}, offset {_numbers(front, spec).offset}"],
    ]
    seen = sentence[:1].upper() + sentence[1:]
    advice = (
        f"Normalize in one place: leave '{outside}' out of the pipeline, or take the nodes out of"
        " the graph."
    )
    if slug == "missing-scale":
        advice = "Feed 0..1: put '/255' into the pipeline."
    return Finding(
        IDS[slug],
        slug,
        "fail",
        "error",
        TITLES[slug],
        seen,
        advice,
        confidence="high",
        evidence=(Evidence("key_values", "Both places", {"items": items}),),
    )


def _numbers(front: GraphFront, spec: PreprocessSpec) -> Affine:
    return front.behind(spec).affine


def sides_findings(
    float_spec: PreprocessSpec,
    float_front: GraphFront,
    quant_spec: PreprocessSpec,
    quant_front: GraphFront,
) -> tuple[Finding, ...]:
    """Compare the values that reach the first layer of both graphs.

    What the quant graph's contract asks for (another layout, data type, normalization moved
    inside) is no mistake: only the values behind both fronts decide.
    """
    one = float_front.behind(float_spec)
    two = quant_front.behind(quant_spec)
    named = [d for d in differences(one, two) if d.weight != "benign"]
    return tuple(_side_finding(d, float_spec, quant_spec) for d in named)


def _side_finding(
    difference: Difference, float_spec: PreprocessSpec, quant_spec: PreprocessSpec
) -> Finding:
    slug = difference.slug
    mistake = difference.weight == "mistake"
    reference = " | ".join(format_step(s) for s in float_spec.steps)
    advice = ADVICE[slug].format(
        spec=reference, reference=difference.reference, found=difference.found, numbers=reference
    )
    items = [
        ["float side", str(float_spec)],
        ["quant side", str(quant_spec)],
        ["in the float side", difference.reference],
        ["in the quant side", difference.found],
    ]
    seen = f"Behind both graphs' first nodes: {difference.sentence}"
    return Finding(
        IDS[slug],
        slug,
        "fail" if mistake else "warn",
        "error" if mistake else "warning",
        TITLES[slug],
        seen,
        advice,
        confidence="high" if slug in _VALUE_SLUGS else "medium",
        evidence=(Evidence("key_values", "Both sides", {"items": items}),),
    )


def calibration_finding(
    calibrated: tuple[float, float],
    fed: tuple[float, float],
    *,
    symmetric: bool = False,
) -> Finding:
    """Compare the range of the quantizer of the input with the range that is fed.

    Args:
        calibrated: smallest and largest value that the quantizer can hold.
        fed: smallest and largest value that is fed.
        symmetric: whether the quantizer's range is the same on both sides of zero by design.

    Returns:
        A finding with status pass, warn (a ratio without a known reason) or fail.
    """
    slug = "calibration-range"
    reach, need = _extent(calibrated, symmetric), _extent(fed, symmetric)
    ratio = need / reach if reach > 0 else float("inf")
    words = (
        f"The input's quantizer holds {calibrated[0]:.4g}..{calibrated[1]:.4g},"
        f" fed are {fed[0]:.4g}..{fed[1]:.4g}"
    )
    if 1 / _RATIO_WRONG <= ratio <= _RATIO_WRONG and not _shifted(calibrated, fed, symmetric):
        return Finding(
            IDS[slug], slug, "pass", "info", "The calibrated input range fits", words, ""
        )
    reason = _reason(calibrated, fed, symmetric)
    seen = f"{words}: {_times(ratio)}" + (f"; {reason}" if reason else "")
    return Finding(
        IDS[slug],
        slug,
        "fail" if reason else "warn",
        "error" if reason else "warning",
        TITLES[slug],
        seen,
        "Calibrate again with exactly the preprocessing that the model is fed with.",
        confidence="high" if reason else "medium",
        evidence=(
            Evidence(
                "table",
                "Ranges",
                {
                    "columns": ["", "from", "to"],
                    "rows": [["calibrated", *calibrated], ["fed", *fed]],
                },
            ),
        ),
    )


def _extent(span: tuple[float, float], symmetric: bool) -> float:
    return max(abs(span[0]), abs(span[1])) if symmetric else span[1] - span[0]


def _shifted(calibrated: tuple[float, float], fed: tuple[float, float], symmetric: bool) -> bool:
    """Whether a fair share of what is fed lies outside the calibrated range."""
    if symmetric:
        return False
    outside = max(0.0, calibrated[0] - fed[0]) + max(0.0, fed[1] - calibrated[1])
    return outside > 0.3 * (fed[1] - fed[0])


def _times(ratio: float) -> str:
    if ratio >= 1:
        return f"what is fed is {ratio:.3g} times as wide"
    return (
        f"the quantizer is {1 / ratio:.3g} times as wide as needed"
        if ratio > 0
        else "nothing is fed"
    )


def _reason(calibrated: tuple[float, float], fed: tuple[float, float], symmetric: bool) -> str:
    """Name the normalizations whose ranges both sides look like."""
    was, now = _looks_like(calibrated, symmetric), _looks_like(fed, symmetric)
    if was and now and was != now:
        return f"calibration looks like {was}, what is fed like {now}"
    return ""


def _looks_like(span: tuple[float, float], symmetric: bool) -> str | None:
    """Return the well-known normalization whose full range is nearest."""
    best, least = None, _RANGE_MATCH
    for name, (mean, std) in KNOWN.items():
        low = min(-m / s for m, s in zip(mean, std, strict=True))
        high = max((255 - m) / s for m, s in zip(mean, std, strict=True))
        width = _extent((low, high), symmetric)
        gap = abs(_extent(span, symmetric) - width)
        if not symmetric:
            gap = max(gap, abs(span[0] - low), abs(span[1] - high))
        if gap / width < least:
            best, least = name, gap / width
    return best


def fed_range(spec: PreprocessSpec) -> tuple[float, float]:
    """Smallest and largest value that a pipeline can produce from pixels 0..255."""
    affine = spec.affine
    ends = [(b, 255 * a + b) for a, b in zip(affine.gain, affine.offset, strict=True)]
    return min(min(pair) for pair in ends), max(max(pair) for pair in ends)
