"""Which findings are explained by which."""

from __future__ import annotations

import dataclasses

import pytest

from qdebug.checks.settle import downstream, settle
from qdebug.run.model import Finding, FindingStatus, Layer
from tests.support.checked import sample_run


def found(
    slug: str, layers: tuple[int, ...], status: FindingStatus = "fail", number: str = "QD300"
) -> Finding:
    return Finding(number, slug, status, "error", slug, "Seen.", "", None, "high", layers)


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


def test_another_model_explains_ranges_weights_and_numerics() -> None:
    wrong = found("wrong-model", (), number="QD201")
    others = [found("x", (1,), number=n) for n in ("QD301", "QD401", "QD501", "QD602")]
    assert statuses(wrong, *others) == ["fail", "info", "info", "info", "fail"]
    explained = settle([wrong, others[0]], [])[1]
    assert explained.severity == "info"
    assert explained.seen == "Seen. This follows from QD201 wrong-model."
