"""The input gate: what both graphs and their pipelines say about each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qdebug.preprocess.calibration import calibration_finding, full_range
from qdebug.preprocess.contracts import comparable, contract_of
from qdebug.preprocess.differences import NUMERIC
from qdebug.preprocess.graph_check import (
    front_findings,
    layout_findings,
    metadata_findings,
    sides_findings,
)
from qdebug.preprocess.graph_front import GraphFront
from qdebug.preprocess.implied import quant_side
from qdebug.preprocess.model_facts import ModelFacts
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

Effect = Callable[[PreprocessSpec], float | None]
"""Measures the SQNR in dB at the float model's output under another pipeline."""


def prove_models(
    float_facts: ModelFacts,
    spec: PreprocessSpec,
    quant_facts: ModelFacts | None = None,
    quant_spec: PreprocessSpec | None = None,
    effect: Effect | None = None,
    *,
    assumed: bool = False,
) -> tuple[Finding, ...]:
    """Judge the pipelines against the graphs' first nodes and the calibrated input range.

    Args:
        float_facts: the float graph.
        spec: the pipeline that feeds it.
        quant_facts: the quant graph, if there is one.
        quant_spec: the pipeline that feeds that; derived from ``spec`` if None.
        effect: measures what the quant side's pipeline, with all that its graph computes, costs
            the float model's output; asked only where a difference is a matter of degree.
        assumed: nobody gave ``spec``; where calibration contradicts it, it is doubted first.
    """
    findings = [
        *layout_findings(spec, float_facts.input, "float"),
        *front_findings(spec, float_facts.front),
        *metadata_findings(spec, float_facts),
    ]
    if quant_facts is not None:
        wrong = any(finding.status == "fail" for finding in findings)
        moot = _moot_behind(quant_facts.front) if wrong else frozenset()
        of_quant = _prove_quant(float_facts, spec, quant_facts, quant_spec, effect)
        kept = [finding for finding in of_quant if finding.slug not in moot]
        findings += [_doubting(finding) for finding in kept] if assumed else kept
    if all(finding.slug == "calibration-range" for finding in findings):
        findings.insert(0, _agreed(quant_facts is not None))
    return tuple(findings)


def untold(quant_facts: ModelFacts) -> tuple[Finding, ...]:
    """Say what the calibrated range leaves open, where there is one.

    The extremes over all channels are the same for R, G, B and for B, G, R.
    """
    if quant_facts.front.quantizer is None or quant_facts.input.channels != 3:
        return ()
    kind = KINDS["not-identifiable"]
    seen = (
        "Whether the model was calibrated on R, G, B or on B, G, R cannot be told from its range,"
        " nor how the pictures were placed"
    )
    advice = "Hold the calibration set against the pipeline: `--calibration FOLDER`."
    return (kind.found("info", kind.title, seen, advice, confidence="high"),)


def _doubting(finding: Finding) -> Finding:
    """The same; advice to calibrate again begins with the pipeline that was only assumed."""
    if finding.slug != "calibration-range" or not finding.advice:
        return finding
    first = (
        "The pipeline is only assumed: give the right one with `-p` and look again. If it is this"
    )
    advice = f"{first} one: {finding.advice[0].lower()}{finding.advice[1:]}"
    return replace(finding, advice=advice)


def _moot_behind(front: GraphFront) -> frozenset[str]:
    """The findings on the quant side that follow from a pipeline that is wrong in itself."""
    return frozenset({"calibration-range"}) | (NUMERIC if front.rounded else frozenset())


def _prove_quant(
    float_facts: ModelFacts,
    spec: PreprocessSpec,
    quant_facts: ModelFacts,
    quant_spec: PreprocessSpec | None,
    effect: Effect | None,
) -> list[Finding]:
    float_front, front = float_facts.front, quant_facts.front
    wanted = contract_of(spec, float_facts, quant_facts)
    declared = quant_spec or quant_side(spec, float_facts.input, quant_facts.input).spec or spec
    findings = list(layout_findings(declared, quant_facts.input, "quant") if quant_spec else ())
    if front.unknown or (front.normalizes and not float_front.normalizes):
        findings += front_findings(declared, front, "quant", wanted)
    if comparable(float_front, front):
        measure = (lambda: effect(front.behind(declared))) if effect else None
        sides = sides_findings((spec, float_front), (declared, front), wanted, measure)
        findings = _without_repetition(findings, sides)
    known_wrong = wanted is None and any(f.status == "fail" for f in findings)
    if front.quantizer and not known_wrong:
        affine = front.quantizer.meets(wanted or declared)
        findings.append(calibration_finding(front.quantizer, full_range(affine), affine))
    return findings


def _without_repetition(fronts: list[Finding], sides: tuple[Finding, ...]) -> list[Finding]:
    """Both, where they tell of one thing as the front's conflict; none if the sides agree."""
    if not any(finding.slug in NUMERIC for finding in sides):
        return [*(f for f in fronts if f.slug not in NUMERIC), *sides]
    if any(finding.slug in NUMERIC for finding in fronts):
        return [*fronts, *(f for f in sides if f.slug not in NUMERIC)]
    return [*fronts, *sides]


def _agreed(both: bool) -> Finding:
    kind = KINDS["normalization-in-graph"]
    seen = "No graph normalizes its input" + (", and both are fed alike" if both else "")
    return kind.found("pass", kind.passed, seen)


def prove_range(quant_facts: ModelFacts, low: float, high: float) -> tuple[Finding, ...]:
    """Judge the calibrated input range against values of unknown origin.

    Args:
        quant_facts: the quant graph.
        low: smallest value that is fed.
        high: largest value that is fed.
    """
    quantizer, front = quant_facts.front.quantizer, quant_facts.front
    if quantizer is None or front.normalizes or not low < high:
        return ()
    return (calibration_finding(quantizer, (low, high)),)
