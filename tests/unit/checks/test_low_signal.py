"""Samples on which the float model finds nothing."""

from __future__ import annotations

import numpy as np

from qdebug.checks.check import run_check
from qdebug.checks.low_signal import LOW_SIGNAL
from qdebug.run.model import OutputResult
from tests.support.checked import finding, net_run, sample_run
from tests.support.contexts import check_context, measured, step_of
from tests.support.graphs import SIDE, float_model, qdq_model

SCORES = np.linspace(0.1, 0.9, 16).reshape(1, 2, 8)


def test_silent_samples_are_named() -> None:
    silent = SCORES * 1e-4
    layer = measured("y", SCORES, SCORES, (silent, silent))
    context = check_context([layer], outputs=[OutputResult("y", None, "ok", layer=0)])
    (found,) = run_check(LOW_SIGNAL, context)
    assert found.status == "info"
    assert "Samples without one: sample 1." in found.seen
    assert "Outputs" not in found.seen


def test_an_output_below_half_a_step_is_named() -> None:
    layer = measured("y", SCORES * 1e-3, SCORES * 0, quantizer=step_of(1 / 255))
    context = check_context([layer])
    assert context.layers[0].state == "low_signal"
    output = OutputResult("y", context.layers[0].accumulated, "low_signal", layer=0)
    (found,) = run_check(LOW_SIGNAL, check_context([layer], outputs=[output]))
    assert "Outputs without a signal: y." in found.seen


def test_loud_samples_pass() -> None:
    layer = measured("y", SCORES, SCORES, (SCORES * 0.01, SCORES * 0.01))
    context = check_context([layer], outputs=[OutputResult("y", None, "ok", layer=0)])
    assert [found.status for found in run_check(LOW_SIGNAL, context)] == ["pass"]


def test_an_empty_picture_is_explained_and_no_divergence() -> None:
    run = sample_run("detector-int8-empty")
    assert run.verdict.status == "pass"
    assert finding(run, "task-effect").status in ("info", "pass")


def test_a_black_picture_crashes_no_check() -> None:
    black = {"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}
    run = net_run(float_model(), qdq_model(), black)
    assert not [found for found in run.findings if found.status == "error"]
