"""Which findings are explained by which."""

from __future__ import annotations

import dataclasses

import pytest

from qdebug.checks.facts.reach import downstream
from qdebug.checks.settle import settle
from qdebug.run.kinds import KINDS, Family, Kind
from qdebug.run.model import Finding, FindingStatus, Layer
from tests.support.checked import sample_run


def found(slug: str, layers: tuple[int, ...], status: FindingStatus = "fail") -> Finding:
    return KINDS[slug].found(status, slug, "Seen.", layers=layers)


def statuses(*findings: Finding) -> list[str]:
    layers = [chained(at) for at in range(6)]
    return [f.status for f in settle(findings, layers)]


def chained(at: int) -> Layer:
    """Layer ``at`` of a chain of six."""
    layer = sample_run("classifier-int8").layers[at]
    ends = tuple(i for i in (at + 1,) if i < 6)
    return dataclasses.replace(layer, index=at, outputs=ends)


def test_downstream() -> None:
    assert downstream([chained(at) for at in range(6)], [3]) == {3, 4, 5}


@pytest.mark.parametrize("slug", ["dead-output", "nonfinite", "runtime-mismatch", "error-source"])
def test_a_symptom_yields_to_a_cause_upstream_only(slug: str) -> None:
    assert statuses(found("qdq-mismatch", (1,)), found(slug, (4,))) == ["fail", "info"]
    assert statuses(found("qdq-mismatch", (4,)), found(slug, (1,))) == ["fail", "fail"]


def test_a_warning_explains_no_failure() -> None:
    warned = found("qdq-mismatch", (1,), "warn")
    assert statuses(warned, found("error-source", (4,))) == ["warn", "fail"]
    assert statuses(warned, found("error-source", (4,), "warn")) == ["warn", "info"]


def test_ranges_follow_the_cause_at_their_first_layer() -> None:
    outlier = found("outlier-channel", (2,))
    assert statuses(outlier, found("range-too-wide", (2, 5))) == ["fail", "info"]
    assert statuses(outlier, found("range-too-wide", (5, 2))) == ["fail", "fail"]
    assert statuses(found("range-too-wide", (2,)), outlier) == ["info", "fail"]


@pytest.mark.parametrize("slug", ["weight-mismatch", "qdq-mismatch", "coarse-weights"])
def test_what_constants_tell_does_not_follow_from_an_operator_before_them(slug: str) -> None:
    assert statuses(found("operator-mismatch", (1,)), found(slug, (4,))) == ["fail", "fail"]
    assert statuses(found("operator-mismatch", (1, 4)), found(slug, (4,))) == ["fail", "info"]
    follows = found("range-too-wide", (4,))
    assert statuses(found("operator-mismatch", (1,)), follows) == ["fail", "info"]


def test_another_model_explains_ranges_weights_and_numerics() -> None:
    wrong = found("wrong-model", ())
    slugs = ("mixed-range", "weight-mismatch", "decomposed-norm", "task-effect")
    others = [found(slug, (1,)) for slug in slugs]
    assert statuses(wrong, *others) == ["fail", "info", "info", "info", "fail"]
    explained = settle([wrong, others[0]], [])[1]
    assert explained.severity == "info"
    assert explained.seen == "Seen. This follows from QD201 wrong-model."


def test_a_wrong_input_explains_symptoms_and_what_the_values_make() -> None:
    wrong = found("sign-misread", ())
    follow = [found(slug, (1,)) for slug in ("error-source", "range-too-wide", "outlier-channel")]
    stay = [found("weight-mismatch", (1,)), found("mixed-range", (3,))]
    assert statuses(wrong, *follow, *stay) == ["fail", *["info"] * 3, *["fail"] * 2]


def test_a_guess_about_calibration_explains_no_range_that_is_a_fault_of_its_own() -> None:
    layers = [chained(at) for at in range(6)]
    guess = found("calibration-range", (), "warn")
    ranges = [found("range-too-wide", (at, 5), "warn") for at in (1, 3)]
    told = settle([guess, *ranges, found("error-source", (3,), "warn")], layers, own={3})
    assert [f.status for f in told] == ["warn", "info", "warn", "info"]
    assert told[3].seen.endswith("This follows from QD303 range-too-wide.")
    known = found("calibration-range", ())
    assert settle([known, ranges[1]], layers, own={3})[1].status == "info"


def test_of_several_causes_the_first_is_told_whatever_their_order() -> None:
    symptom = found("error-source", (4,))
    ranked = [found("range-too-wide", (1,)), found("mixed-range", (3,)), symptom]
    for findings in (ranked, ranked[::-1]):
        made = settle(findings, [chained(at) for at in range(6)])
        (told,) = [f.seen for f in made if f.slug == symptom.slug]
        assert told.endswith("This follows from QD301 mixed-range.")
    above = [*ranked, found("channel-order", ())]
    made = settle(above, [chained(at) for at in range(6)])
    assert made[2].seen.endswith("This follows from QD106 channel-order.")


def test_kinds_of_plug_ins_take_part_where_they_are_given() -> None:
    kind = Kind("ACME1", "acme-cause", Family.RANGES, gate="int8", cause=25)
    theirs, layers = kind.found("fail", "t", "Seen.", layers=(1,)), [chained(at) for at in range(6)]
    findings = [theirs, found("error-source", (4,)), found("qdq-mismatch", (2,))]
    known = {**KINDS, kind.slug: kind}
    assert [f.status for f in settle(findings, layers, known)] == ["fail", "info", "fail"]
    # Unknown, it explains nothing: the symptom yields to the other cause only.
    assert settle(findings, layers)[1].seen.endswith("This follows from QD306 qdq-mismatch.")
