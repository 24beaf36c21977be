"""Checks of other packages: they run beside the built-in ones, and what they find is shown well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

import qdebug
from qdebug.analysis.what_if import Change, WhatIf
from qdebug.checks.check import Check, changes_ahead
from qdebug.checks.registry import built_in_checks, run_checks
from qdebug.cli import main
from qdebug.errors import UsageError
from qdebug.plugins import load_plugin
from qdebug.run.gates import gate_states
from qdebug.run.kinds import KINDS
from qdebug.run.model import Run
from qdebug.run.pages import explanation_of, page
from qdebug.run.store import run_from_json, run_to_json
from tests.support.checked import finding
from tests.support.contexts import check_context
from tests.support.tables import sample_table

ACME = """
from qdebug.checks import Check
from qdebug.run.kinds import KINDS, Family, Kind

KIND = Kind("ACME1", "acme-range", Family.RANGES, gate="ceiling", passed="acme is content")

def _run(context):
    yield CHECK.found("fail", "Acme's range", "seen by Acme", "Ask Acme.", layers=[0])

CHECK = Check(KIND, _run)
SILENT = Kind("ACME2", "acme-quiet", Family.QUALITY, gate=None, passed="all quiet")
QUIET = Check(SILENT, lambda _: ())
TAKEN = Check(KINDS["mixed-range"], _run)
NONE = "a string"
EMPTY = Check("acme", _run)
"""
FORMS = ("console", "html", "markdown", "junit", "sarif", "csv", "json")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs checks of a package ``acme``: names and objects of its module."""

    def make(**checks: str) -> None:
        (tmp_path / "acme_checks.py").write_text(ACME, encoding="utf-8")
        facts = tmp_path / "acme-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        lines = [f"{name} = acme_checks:{value}" for name, value in checks.items()]
        (facts / "entry_points.txt").write_text("\n".join(["[qdebug.checks]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)

    return make


def compared(name: str = "classifier-int8") -> Run:
    pair = sample_table()[name]
    return qdebug.compare(
        pair.float_model, pair.quant_model, pair.pictures[:1], preprocess=pair.spec
    )


def test_a_check_of_another_package_runs_and_is_shown_without_a_page(
    install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install(acme="CHECK", quiet="QUIET")
    run = compared()
    found = finding(run, "acme-range")
    assert (found.id, found.status, found.severity, found.gate) == (
        "ACME1",
        "fail",
        "error",
        "ceiling",
    )
    assert (finding(run, "acme-quiet").status, finding(run, "acme-quiet").title) == (
        "pass",
        "all quiet",
    )
    assert (run.verdict.status, run.verdict.gate) == ("fail", "ceiling")
    again = run_from_json(run_to_json(run))
    assert finding(again, "acme-range") == found
    (state,) = [state for state in gate_states(again) if state.gate == "ceiling"]
    assert state.findings == (found,)
    assert explanation_of(found) is None
    with pytest.raises(UsageError):
        page("ACME1")
    for form in FORMS:
        text = load_plugin("reporters", form).render(again)
        assert "acme-range" in text or form == "csv", form
        assert "explain acme" not in text, form
    main(["env"])
    assert re.search(r"check acme +loaded\n", capsys.readouterr().out)


def test_broken_ones_are_told_and_the_others_run(install: Any) -> None:
    install(taken="TAKEN", none="NONE", empty="EMPTY", absent="ABSENT", quiet="QUIET")
    given = (KINDS["low-signal"].found("warn", "t", "s"),)
    context = check_context(input_findings=given)
    findings = {found.slug: found for found in run_checks(context)}
    broken = {slug: findings[slug] for slug in ("taken", "none", "empty", "absent")}
    assert {(found.id, found.status) for found in broken.values()} == {("QD000", "error")}
    assert broken["taken"].seen.endswith("is taken: there is a QD301 mixed-range")
    assert "no qdebug.checks.Check" in broken["none"].seen
    assert "no qdebug.checks.Check" in broken["empty"].seen
    assert findings["acme-quiet"].status == "pass"
    wanted = {check.kind.slug for check in built_in_checks() if check.wanted(context)}
    assert wanted <= set(findings)


class _Runs:
    """Of all changes but the empty one."""

    def is_possible(self, change: Change) -> bool:
        return bool(change)


def test_a_check_that_cannot_say_what_it_will_ask_for_stops_nothing() -> None:
    def fails(_: object) -> list[Change]:
        raise IndexError("no such layer")

    one, kind = Change(frozenset({1})), KINDS["error-source"]
    context = check_context(what_if=cast(WhatIf, _Runs()))
    asked = [
        Check(kind, lambda _: (), ahead=lambda _: [one, Change()]),
        Check(kind, lambda _: (), ahead=fails),
        Check(kind, lambda _: (), lambda _: "not here", ahead=lambda _: [one]),
        Check(kind, lambda _: (), wanted=lambda _: False, ahead=fails),
    ]
    assert [changes_ahead(check, context) for check in asked] == [[one], [], [], []]
    assert changes_ahead(asked[0], check_context()) == []
