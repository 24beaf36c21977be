"""The gates of a comparison, in the order in which they have to be passed.

A later gate means little while an earlier one fails.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Literal

from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding, FindingStatus, Gate, Run

GATES: tuple[Gate, ...] = typing.get_args(Gate)
GateStatus = Literal["pass", "warn", "fail", "inconclusive", "not_checked", "blocked"]


@dataclass(frozen=True)
class GateState:
    """Where one gate stands.

    Attributes:
        gate: which one.
        status: ``not_checked`` where no check of it ran, ``blocked`` behind a gate that fails.
        findings: the findings of its checks that say something was seen.
    """

    gate: Gate
    status: GateStatus
    findings: tuple[Finding, ...]


def gate_of(finding: Finding) -> Gate | None:
    """The gate a finding belongs to; None for findings on the quality of the run itself.

    A built-in kind knows its gate, also for a run written before findings carried one. The finding
    of a plug-in carries it: its kind is known only where the plug-in is installed.
    """
    kind = KINDS.get(finding.slug)
    return kind.gate if kind is not None else finding.gate


def input_failed(run: Run) -> bool:
    """Whether the verdict stands at the input gate: every layer was measured on a wrong input."""
    return run.verdict.status == "fail" and run.verdict.gate == "input"


def gate_states(run: Run) -> tuple[GateState, ...]:
    """Every gate with its status, in order."""
    return tuple(_state(run, gate) for gate in GATES)


def _state(run: Run, gate: Gate) -> GateState:
    findings = [finding for finding in run.findings if gate_of(finding) == gate]
    seen = tuple(f for f in findings if f.status in ("fail", "warn", "error"))
    return GateState(gate, _status(run, gate, {f.status for f in findings}), seen)


def _status(run: Run, gate: Gate, statuses: set[FindingStatus]) -> GateStatus:
    verdict = run.verdict
    if gate == verdict.gate:
        return verdict.status
    if GATES.index(gate) > GATES.index(verdict.gate) and verdict.status == "fail":
        return "blocked" if statuses - {"not_applicable"} else "not_checked"
    for status in ("fail", "warn", "pass"):
        if status in statuses:
            return "warn" if status == "fail" else status
    return "not_checked"
