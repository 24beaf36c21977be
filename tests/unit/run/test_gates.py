"""At which gate a finding stands, and what the verdict and the input's card make of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from PIL import Image

from qdebug.comparison.verdict import decide
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.check import check_picture
from qdebug.reporters.input_words import input_rows
from qdebug.run.gates import gate_of, gate_states
from qdebug.run.kinds import KINDS, Family, Kind
from tests.support.preprocess_faults import FAULTS, Target, render
from tests.support.synthetic import synthetic_run


def test_bytes_read_with_a_wrong_sign_fail_the_input(tmp_path: Path) -> None:
    """Only the check of the input raises ``sign-misread``."""
    target, rgb, path = Target(320), render(0, 427, 640), tmp_path / "scene.png"
    Image.fromarray(rgb).save(path)
    fed = FAULTS["uint8 read as int8"].make(target, rgb)
    findings = check_picture(path, fed, PreprocessSpec.parse(target.reference)).findings
    verdict = decide((), findings, None)
    assert (verdict.status, verdict.gate) == ("fail", "input")
    assert verdict.reason.startswith("sign-misread: ")
    run = dataclasses.replace(synthetic_run(12, 1), findings=tuple(findings), verdict=verdict)
    assert input_rows(run)[0].parameter == "sign-misread"
    states = {state.gate: state.status for state in gate_states(run)}
    assert (states["input"], states["output"]) == ("fail", "not_checked")


def test_a_kind_of_a_plug_in_keeps_its_gate_and_an_own_one_has_its_record_s() -> None:
    theirs = Kind("ACME1", "acme-range", Family.RANGES, gate="ceiling")
    assert gate_of(theirs.found("fail", "t", "s")) == "ceiling"
    of_before = dataclasses.replace(KINDS["mixed-range"].found("fail", "t", "s"), gate=None)
    assert gate_of(of_before) == "int8"
