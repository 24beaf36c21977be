"""Where a finding is explained: the pages of ``docs/findings``."""

from __future__ import annotations

from qdebug.run.model import Finding

PAGES: frozenset[str] = frozenset(
    {
        "activation-clipping",
        "bad-scale",
        "bias-clipped",
        "calibration-range",
        "ceiling",
        "channel-order",
        "dead-channel",
        "dead-output",
        "decoder-difference",
        "decomposed-norm",
        "double-normalization",
        "error-source",
        "few-samples",
        "flip-rotate",
        "float16-overflow",
        "grayscale",
        "huge-constant",
        "input",
        "int16-saturation-risk",
        "integer-offset",
        "interpolation",
        "layer-limit",
        "layout",
        "low-signal",
        "mean-std-order",
        "missing-normalization",
        "missing-scale",
        "mixed-range",
        "nonfinite",
        "normalization-in-graph",
        "not-identifiable",
        "outlier-channel",
        "pad-value",
        "qdq-mismatch",
        "random-input",
        "range-too-wide",
        "resize-geometry",
        "row-stride",
        "runtime-mismatch",
        "sign-misread",
        "std-not-scaled",
        "task-effect",
        "unpaired-layers",
        "weight-mismatch",
        "wrong-model",
        "yuv-matrix",
        "yuv-range",
    }
)
"""Slugs that have a page. Those of plug-ins have none here."""


def page_of(finding: Finding) -> str | None:
    """Path of the page that explains a finding, within the documentation; None without one."""
    return f"docs/findings/{finding.slug}.md" if finding.slug in PAGES else None
