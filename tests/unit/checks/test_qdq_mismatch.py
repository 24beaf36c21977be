"""Q and DQ that disagree."""

from __future__ import annotations

import pytest

from tests.support.checked import finding, layer_names, planted_run, sample_run, table_of


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
