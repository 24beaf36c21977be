"""How much of the network is compared."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.check import run_check
from qdebug.checks.unpaired_layers import UNPAIRED
from qdebug.run.model import Finding, OutputResult, Unpaired
from tests.support.checked import finding, sample_run
from tests.support.contexts import check_context, measured

VALUES = np.linspace(-1, 1, 24).reshape(1, 2, 12)


def judged(paired: int, left: int, reason: str = "nothing alike", lost: bool = False) -> Finding:
    layers = [measured(f"t{number}", VALUES, VALUES) for number in range(paired)]
    unpaired = [Unpaired(f"u{number}", reason) for number in range(left)]
    outputs = [OutputResult("y", None, "not_compared")] if lost else []
    (found,) = run_check(UNPAIRED, check_context(layers, unpaired=unpaired, outputs=outputs))
    return found


@pytest.mark.parametrize(("left", "status"), [(2, "pass"), (3, "info"), (6, "info"), (7, "warn")])
def test_by_the_share_without_a_counterpart(left: int, status: str) -> None:
    assert judged(10 - left, left).status == status


def test_an_output_that_is_not_compared_is_a_warning() -> None:
    found = judged(10, 0, lost=True)
    assert found.status == "warn"
    assert "Outputs not compared: y." in found.seen


@pytest.mark.parametrize("reason", ["folded into conv1", "int64, not compared"])
def test_tensors_that_have_none_by_their_nature_do_not_count(reason: str) -> None:
    assert judged(1, 9, reason).status == "pass"


@pytest.mark.parametrize("name", ["classifier-int8", "detector-qoperator"])
def test_sound_models(name: str) -> None:
    assert finding(sample_run(name), "unpaired-layers").status == "pass"
