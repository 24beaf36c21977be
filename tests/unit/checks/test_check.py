"""All checks together: sample pairs and planted faults raise what they must, and nothing else."""

from __future__ import annotations

import pytest

from qdebug.checks import Check, CheckContext
from qdebug.checks.check import run_check
from qdebug.run.kinds import Family, Kind
from qdebug.run.model import Finding
from tests.support.checked import (
    causes,
    finding,
    layer_names,
    optimized_wrongly,
    planted_run,
    sample_run,
    sound_run,
)
from tests.support.contexts import check_context
from tests.support.planting import CONTROLS, PLANTS
from tests.support.tables import sample_table

HARMLESS = {"12 all-zero channel": ("info",), "12 near-zero weights": ("warn", "fail")}
DETECTOR = (
    "10 mixed head",
    "14 norm in pieces",
    "17 DQ zero point +12",
    "19 range cut",
)
"""Faults whose effect on boxes and scores differs from that on class scores."""


@pytest.mark.parametrize("name", sample_table())
def test_sample_pairs(name: str) -> None:
    pair, run = sample_table()[name], sample_run(name)
    assert causes(run, "fail") == pair.expected
    assert not causes(run, "error")
    if not pair.expected:
        assert run.verdict.status == "pass"
        assert not causes(run, "warn")
    for slug in pair.expected if pair.planted else ():
        found = finding(run, slug)
        readers = [run.layers[to].name for at in found.layers for to in run.layers[at].outputs]
        named = found.title.split(" (")[0]
        assert pair.planted in [*layer_names(run, found), *readers, named]


@pytest.mark.parametrize("fault", [name for name in PLANTS if name not in CONTROLS])
def test_planted_faults(fault: str) -> None:
    _check_planted(fault, "classifier", HARMLESS.get(fault, ("fail", "warn")))


@pytest.mark.parametrize("fault", DETECTOR)
def test_planted_faults_of_a_detector(fault: str) -> None:
    _check_planted(fault, "detector", ("fail", "warn"))


@pytest.mark.parametrize("change", CONTROLS)
def test_sound_changes(change: str) -> None:
    planted, run = planted_run(change)
    assert not planted.slug
    assert run.verdict.status == "pass"
    assert not causes(run, "fail", "error", "warn")


@pytest.mark.parametrize(
    "fault", ["14 norm in pieces", "14 mask of -1e12", "15 output scale x2000"]
)
def test_the_same_change_made_soundly(fault: str) -> None:
    planted, _ = planted_run(fault)
    run = sound_run(fault)
    assert run.verdict.status == "pass"
    assert not causes(run, "fail", "error", "warn")
    assert finding(run, planted.slug).status == "pass"


def _check_planted(fault: str, model: str, statuses: tuple[str, ...]) -> None:
    planted, run = planted_run(fault, model)
    found = finding(run, planted.slug)
    assert found.status in statuses
    others = causes(run, "fail") - {planted.slug}
    assert not others or (others == {"runtime-mismatch"} and optimized_wrongly(fault, model))
    named = {run.layers[at].float_tensor for at in found.layers}
    assert not planted.tensors or named & set(planted.tensors)


def test_order_and_passed_checks() -> None:
    run = sample_run("classifier-clipped")
    order = ["fail", "error", "warn", "info", "pass", "not_applicable"]
    ranks = [order.index(f.status) for f in run.findings]
    assert ranks == sorted(ranks)
    assert finding(run, "weight-mismatch").status == "pass"
    assert finding(run, "float16-overflow").status == "not_applicable"


def _crash(_: CheckContext) -> list[Finding]:
    raise ZeroDivisionError("by zero")


def test_a_check_that_crashes_is_a_finding() -> None:
    context = check_context()
    kind = Kind("QD999", "broken", Family.NUMERICS, gate="int8")
    (found,) = run_check(Check(kind, _crash), context)
    assert (found.status, found.severity, found.confidence) == ("error", "error", "low")
    assert found.seen == "ZeroDivisionError: by zero"
