"""Too few inputs to trust a pass."""

from __future__ import annotations

import pytest

from qdebug.checks.check import run_check
from qdebug.checks.few_samples import ENOUGH, FEW_SAMPLES
from qdebug.run.model import SampleInfo
from tests.support.contexts import check_context


@pytest.mark.parametrize(
    ("count", "status", "title"),
    [
        (1, "info", "1 sample only"),
        (ENOUGH - 1, "info", f"{ENOUGH - 1} samples only"),
        (ENOUGH, "pass", "there are samples enough"),
    ],
)
def test_by_their_number(count: int, status: str, title: str) -> None:
    samples = [SampleInfo(str(number), "") for number in range(count)]
    (found,) = run_check(FEW_SAMPLES, check_context(samples=samples))
    assert (found.status, found.title) == (status, title)
