"""Optimizations that change the answer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qdebug.checks.check import run_check
from qdebug.checks.runtime_mismatch import RUNTIME
from qdebug.run.model import ErrorMetrics, Finding, OutputResult
from tests.support.checked import finding, sample_run
from tests.support.contexts import check_context

DECLARED = ErrorMetrics(0.999, 0.999, 32.0, 0, 0, 0, 0, 1)


def judged(deployed_db: float | None) -> Finding:
    deployed = None if deployed_db is None else replace(DECLARED, sqnr_db=deployed_db)
    output = OutputResult("y", DECLARED, "ok", deployed=deployed, runtime=deployed, layer=3)
    (found,) = run_check(RUNTIME, check_context(outputs=[output]))
    return found


@pytest.mark.parametrize(
    ("deployed", "status"),
    [(31.0, "pass"), (16.0, "pass"), (14.0, "warn"), (5.0, "fail"), (math.nan, "fail")],
)
def test_by_how_much_worse_the_deployed_session_is(deployed: float, status: str) -> None:
    assert judged(deployed).status == status


def test_both_numbers_and_the_output_are_told() -> None:
    found = judged(5.0)
    assert "32.0 dB as it is written and 5.0 dB with all graph optimizations" in found.seen
    assert found.layers == (3,)


def test_where_nothing_was_deployed_it_does_not_apply() -> None:
    assert judged(None).status == "not_applicable"


def test_a_sound_model() -> None:
    assert finding(sample_run("classifier-int8"), "runtime-mismatch").status == "pass"


def test_where_both_agree_the_deployed_samples_were_other_ones() -> None:
    """4 of 12 pictures, with little signal, have 5 dB in either session: nothing was changed."""
    deployed, runtime = replace(DECLARED, sqnr_db=5.0), replace(DECLARED, sqnr_db=12.0)
    output = OutputResult("y", DECLARED, "ok", deployed=deployed, runtime=runtime, layer=3)
    (found,) = run_check(RUNTIME, check_context(outputs=[output]))
    assert found.status == "pass"
