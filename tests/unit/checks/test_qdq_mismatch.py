"""Q and DQ that disagree."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks.facts.qdq import misread_factors
from tests.support.checked import finding, layer_names, planted_run, sample_run, table_of
from tests.support.contexts import check_context
from tests.support.nets import NetBuilder


@pytest.mark.parametrize(
    ("fault", "words"),
    [("17 DQ scale x1.25", "scale times 1.25"), ("17 DQ zero point +12", "zero point ")],
)
def test_q_and_dq_disagree(fault: str, words: str) -> None:
    planted, run = planted_run(fault)
    found = finding(run, "qdq-mismatch")
    assert words in found.title
    assert sum(f.slug == "qdq-mismatch" for f in run.findings) == 1
    (first, second) = table_of(found, "Parameters of the two")
    assert first[0].endswith("QuantizeLinear")
    assert second[0].endswith("DequantizeLinear")
    named = {run.layers[at].float_tensor for at in found.layers}
    assert named <= set(planted.tensors)


def test_the_mismatch_of_the_sample_model_and_its_control() -> None:
    found = finding(sample_run("classifier-zero-point"), "qdq-mismatch")
    assert "/features/features.4/project/conv/Conv" in layer_names(
        sample_run("classifier-zero-point"), found
    )
    assert finding(sample_run("classifier-int8"), "qdq-mismatch").status == "pass"


@pytest.mark.parametrize(
    ("written", "read", "factors"),
    [(0.5, 1.0, [2.0]), (0.5, 0.5, []), (0.0, 1.0, []), (1.0, 0.0, []), (1.0, np.inf, [])],
)
def test_a_scale_that_is_no_number_makes_no_factor(
    written: float, read: float, factors: list[float]
) -> None:
    b = NetBuilder(0)
    zero = b.const(0, dtype=np.uint8)
    codes = b.op("QuantizeLinear", b.input("x", [1, 4]), b.const(written), zero)
    model = b.model(b.op("DequantizeLinear", codes, b.const(read), zero))
    assert misread_factors(check_context(quant_model=model)) == factors
