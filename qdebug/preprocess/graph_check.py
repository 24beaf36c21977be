"""Judging a pipeline against what the graphs' own first nodes and quantizers say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from qdebug.preprocess.contracts import mismatches
from qdebug.preprocess.differences import NUMERIC, Difference, differences
from qdebug.preprocess.graph_front import GraphFront
from qdebug.preprocess.implied import implied_spec
from qdebug.preprocess.model_facts import ModelFacts
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.verdicts import advice_on, cost, grade, numbers
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

_VALUE_SLUGS = NUMERIC | {"mean-std-order", "channel-order"}
_LARGEST_UNIT_MEAN = 2
_LEARNED_OFFSET = 0.4
"""A BatchNormalization trained on normalized input has a mean near 0, in units of its std."""


def front_findings(
    spec: PreprocessSpec,
    front: GraphFront,
    side: str = "float",
    wanted: PreprocessSpec | None = None,
) -> tuple[Finding, ...]:
    """Say what a graph's first nodes compute, and whether the pipeline does it again.

    Args:
        spec: the pipeline that feeds the graph.
        front: what the graph does to its input.
        side: which graph it is, ``float`` or ``quant``.
        wanted: the pipeline that the graph wants, for the advice.
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
        findings += [_conflict(c, spec, front, side, wanted) for c in _conflicts(spec, front)]
    return tuple(findings)


def _info(seen: str, advice: str, front: GraphFront) -> Finding:
    kind = KINDS["normalization-in-graph"]
    items = [[str(i), node] for i, node in enumerate(front.nodes, 1)]
    evidence = (Evidence("key_values", "Nodes", {"items": items}),) if items else ()
    return kind.found("info", kind.title, seen, advice, confidence="high", evidence=evidence)


def _conflicts(spec: PreprocessSpec, front: GraphFront) -> Iterator[tuple[str, str]]:
    """Yield the slugs and sentences in which a pipeline contradicts the graph's front."""
    outside, inside = spec.affine, Affine(front.gain, front.offset)
    centered_outside = any(outside.offset)
    centered_inside = max(np.abs(inside.offset)) >= _LEARNED_OFFSET
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
    unit_domain = centered_inside and max(np.abs(inside.mean)) < _LARGEST_UNIT_MEAN
    if unit_domain and max(outside.gain) >= 0.5:
        yield "missing-scale", "the graph's mean and std are of the 0..1 domain, 0..255 is fed"


def _conflict(
    conflict: tuple[str, str],
    spec: PreprocessSpec,
    front: GraphFront,
    side: str,
    wanted: PreprocessSpec | None,
) -> Finding:
    slug, sentence = conflict
    together = front.behind(spec).affine
    outside = numbers(spec) or "nothing"
    items = [
        ["outside, in the pipeline", outside],
        [f"inside, in the {side} graph", ", ".join(front.nodes)],
        ["together", f"gain {together.gain}, offset {together.offset}"],
    ]
    seen = sentence[:1].upper() + sentence[1:]
    advice = (
        f"Normalize in one place: leave '{outside}' out of the pipeline, or take the nodes out of"
        " the graph."
    )
    if slug == "missing-scale":
        advice = "Feed 0..1: put '/255' into the pipeline."
    if wanted is not None:
        advice = _feed(wanted)
    kind = KINDS[slug]
    return kind.found(
        "fail",
        kind.title,
        seen,
        advice,
        confidence="high",
        evidence=(Evidence("key_values", "Both places", {"items": items}),),
    )


def layout_findings(spec: PreprocessSpec, item: ModelInput, side: str) -> tuple[Finding, ...]:
    """Say where a pipeline ends in another order of axes than a graph's input has."""
    kind = KINDS["layout"]
    if item.layout is None or spec.layout not in ("nchw", "nhwc") or spec.layout == item.layout:
        return ()
    names = spec.layout.upper(), item.layout.upper()
    return (
        kind.found(
            "fail",
            kind.title,
            f"The pipeline ends in {names[0]}, the {side} graph takes {names[1]},"
            f" {item.describe()}",
            f"End the pipeline in '{item.layout}'.",
            confidence="high",
        ),
    )


def metadata_findings(spec: PreprocessSpec, facts: ModelFacts) -> tuple[Finding, ...]:
    """Say where a pipeline contradicts what the exporter wrote into the model."""
    implied = implied_spec(facts.input, facts.metadata)
    if implied.spec is None or implied.origin != "metadata" or facts.front.changes:
        return ()
    named = [d for d in differences(implied.spec, spec) if d.slug in _VALUE_SLUGS]
    return tuple(_contradiction(difference, implied.spec) for difference in named)


def _contradiction(difference: Difference, implied: PreprocessSpec) -> Finding:
    kind = KINDS[difference.slug]
    return kind.found(
        "warn",
        kind.title,
        f"Against the model's own metadata: {difference.sentence}",
        f"The exporter's pipeline is `{implied}`; give it with -p unless the model was trained"
        " otherwise.",
    )


def sides_findings(
    float_side: tuple[PreprocessSpec, GraphFront],
    quant_side: tuple[PreprocessSpec, GraphFront],
    wanted: PreprocessSpec | None = None,
    effect: Callable[[], float | None] | None = None,
) -> tuple[Finding, ...]:
    """Compare the values that reach the first layer of both graphs; see `mismatches`.

    Args:
        float_side: the pipeline of the float graph and that graph's front.
        quant_side: the same of the quant graph.
        wanted: the pipeline that would agree, for the advice.
        effect: SQNR in dB that the difference leaves at the float model's output; asked only
            where a difference is a matter of degree.
    """
    named = mismatches(float_side, quant_side)
    soft = all(difference.weight == "soft" for difference in named)
    measured = effect() if effect and named and soft else None
    specs = float_side[0], quant_side[0]
    return tuple(_side_finding(d, specs, wanted, measured) for d in named)


def _feed(wanted: PreprocessSpec) -> str:
    return f"Feed the quant side with `{wanted}` (--quant-preprocess)."


def _side_finding(
    difference: Difference,
    specs: tuple[PreprocessSpec, PreprocessSpec],
    wanted: PreprocessSpec | None,
    effect: float | None,
) -> Finding:
    kind = KINDS[difference.slug]
    advice = advice_on(difference, specs[0])
    if wanted is not None and wanted != specs[1]:
        advice = _feed(wanted)
    items = [
        ["float side", str(specs[0])],
        ["quant side", str(specs[1])],
        ["in the float side", difference.reference],
        ["in the quant side", difference.found],
    ]
    seen = f"Between what reaches both first layers: {difference.sentence}" + cost(effect)
    return kind.found(
        grade(difference, effect),
        kind.title,
        seen,
        advice,
        confidence="high" if kind.slug in _VALUE_SLUGS else "medium",
        evidence=(Evidence("key_values", "Both sides", {"items": items}),),
    )
