"""A run as SARIF 2.1.0: findings as code-scanning alerts.

A finding's place is the quant model's file; its layers are logical locations. Fingerprints come
from the check and its tensors, so that the same finding of the next run is the same alert. Checks
that passed are rules without results: viewers show every result as an alert.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from qdebug.reporters.base import Reporter
from qdebug.reporters.ranking import seen_findings
from qdebug.run.model import Finding, Layer, ModelInfo, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {"fail": "error", "warn": "warning", "info": "note"}
_MAX_LAYERS = 50


class SarifReporter(Reporter):
    """One run with one result a finding."""

    suffixes = (".sarif", ".sarif.json")

    def render(self, run: Run) -> str:
        """The log as JSON."""
        log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_sarif_run(run)]}
        return json.dumps(log, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sarif_run(run: Run) -> dict[str, Any]:
    rules = _rules(run)
    index = {rule["id"]: position for position, rule in enumerate(rules)}
    shown = [finding for finding in seen_findings(run) if finding.status in _LEVELS]
    return {
        "tool": {
            "driver": {"name": "qdebug", "version": visible(run.tool.version), "rules": rules}
        },
        "artifacts": [_artifact(run.models.float), _artifact(run.models.quant)],
        "invocations": [_invocation(run)],
        "results": [_result(run, finding, index[visible(finding.id)]) for finding in shown],
        "properties": {
            "verdict": run.verdict.status,
            "gate": run.verdict.gate,
            "reason": visible(run.verdict.reason),
        },
    }


def _rules(run: Run) -> list[dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for finding in run.findings:
        name = visible(finding.id)
        rules.setdefault(
            name,
            {
                "id": name,
                "name": visible(finding.slug),
                "shortDescription": {"text": visible(finding.slug).replace("-", " ")},
                "defaultConfiguration": {"level": _LEVELS.get(finding.status, "warning")},
            },
        )
    return [rules[name] for name in sorted(rules)]


def _artifact(model: ModelInfo) -> dict[str, Any]:
    return {"location": {"uri": _uri(model)}, "hashes": {"sha-256": visible(model.sha256)}}


def _uri(model: ModelInfo) -> str:
    return quote(model.file, errors="replace")


def _invocation(run: Run) -> dict[str, Any]:
    crashed = [
        {
            "descriptor": {"id": visible(finding.id)},
            "level": "error",
            "message": {"text": visible(finding.seen, lines=True)},
        }
        for finding in run.findings
        if finding.status == "error"
    ]
    return {
        "executionSuccessful": True,
        "exitCode": run.exit_code,
        "arguments": [visible(word) for word in run.command],
        "toolExecutionNotifications": crashed,
    }


def _result(run: Run, finding: Finding, rule: int) -> dict[str, Any]:
    layers = [run.layers[i] for i in finding.layers[:_MAX_LAYERS] if 0 <= i < len(run.layers)]
    return {
        "ruleId": visible(finding.id),
        "ruleIndex": rule,
        "level": _LEVELS[finding.status],
        "message": {"text": _message(finding)},
        "locations": [_location(run, layers)],
        "partialFingerprints": {"qdebug/v1": _fingerprint(finding, layers)},
        "properties": {"confidence": finding.confidence, "layers": list(finding.layers)},
    }


def _message(finding: Finding) -> str:
    parts = [finding.title, f"Seen: {finding.seen}"]
    if finding.advice:
        parts.append(f"Do: {finding.advice}")
    if finding.gain_db is not None:
        parts.append(f"Gain: about {decibel(finding.gain_db)} dB at the output (estimate)")
    return "\n".join(visible(part, lines=True) for part in parts)


def _location(run: Run, layers: list[Layer]) -> dict[str, Any]:
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(run.models.quant), "index": 1},
            "region": {"startLine": 1},
        }
    }
    if layers:
        place["logicalLocations"] = [
            {
                "name": visible(layer.quant_tensor),
                "fullyQualifiedName": visible(f"{layer.index}:{layer.name}:{layer.quant_tensor}"),
                "kind": "tensor",
            }
            for layer in layers
        ]
    return place


def _fingerprint(finding: Finding, layers: list[Layer]) -> str:
    tensors = sorted(layer.quant_tensor for layer in layers)
    text = json.dumps([finding.id, finding.slug, tensors])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


sarif = SarifReporter()
