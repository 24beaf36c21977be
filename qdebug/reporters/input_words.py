"""What is known about the input, in words and as a table: for the page and the browser."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, FindingStatus, Run

COLUMNS = ("verdict", "parameter", "should be", "is")
_RIGHT = ("in the reference", "in the float side")
_FOUND = ("in what was fed", "in the quant side")
_ORDER = ("fail", "error", "warn", "info", "pass")


@dataclass(frozen=True)
class InputRow:
    """One property of the input.

    Attributes:
        status: of the check.
        parameter: slug of the check.
        right: what it should be; empty where the check passed.
        found: what it is; a whole sentence where the check gives no values.
    """

    status: FindingStatus
    parameter: str
    right: str
    found: str


def input_findings(run: Run) -> list[Finding]:
    """Findings on the input, those that fail first; checks that did not apply are left out."""
    found = [f for f in run.findings if gate_of(f) == "input" and f.status in _ORDER]
    return sorted(found, key=lambda finding: _ORDER.index(finding.status))


def input_rows(run: Run) -> list[InputRow]:
    """The table of the input check; empty where nothing was checked."""
    return [_row(finding) for finding in input_findings(run)]


def _row(finding: Finding) -> InputRow:
    values: dict[str, str] = {}
    for item in finding.evidence:
        if item.kind == "key_values":
            values |= {str(key): str(value) for key, value in item.data["items"]}
    right = next((values[key] for key in _RIGHT if key in values), "")
    found = next((values[key] for key in _FOUND if key in values), finding.seen)
    return InputRow(finding.status, finding.slug, right, found)


def unchecked(run: Run) -> str:
    """What was not proven about the input, and the command that proves it; empty otherwise."""
    if input_findings(run):
        return ""
    sample = run.samples[0].name if run.samples else "PHOTO"
    words = ("qdebug", "preprocess", "check", sample, "--fed", "TENSOR")
    command = shlex.join([*words, "-p", run.preprocess.float.spec])
    return (
        "Not checked: this run does not know what the device, or the calibration, was fed. Dump"
        f" that tensor and prove it with: {command}"
    )
