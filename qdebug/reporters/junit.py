"""A run as JUnit XML: every CI system shows it. One test case a check, one an output."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.reporters.base import Reporter
from qdebug.reporters.text import layer_label
from qdebug.run.model import Finding, OutputResult, Run
from qdebug.run.standing import output_channel
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel, number
from qdebug.vocabulary.states import BROKEN, STATE_WORDS


class JunitReporter(Reporter):
    """A suite named after the pair of models; warnings pass and say so in their output."""

    suffixes = (".junit.xml", ".xml")

    def render(self, run: Run) -> str:
        """The XML document."""
        cases = [_output_case(run, output) for output in run.outputs]
        cases += [_finding_case(run, finding) for finding in run.findings]
        kinds = Counter(child.tag for case in cases for child in case)
        counts = {
            "tests": str(len(cases)),
            "failures": str(kinds["failure"]),
            "errors": str(kinds["error"]),
        }
        root = ET.Element("testsuites", {"name": "qdebug", **counts})
        name = visible(f"{run.models.float.file} vs {run.models.quant.file}")
        skipped = str(kinds["skipped"])
        suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "skipped": skipped})
        _properties(suite, run)
        suite.extend(cases)
        ET.indent(root)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _properties(suite: ET.Element, run: Run) -> None:
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("verdict", run.verdict.status),
        ("gate", run.verdict.gate),
        ("reason", run.verdict.reason),
        ("float_sha256", run.models.float.sha256),
        ("quant_sha256", run.models.quant.sha256),
        ("qdebug", run.tool.version),
        ("onnxruntime", run.tool.onnxruntime),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": visible(value)})


def _output_case(run: Run, output: OutputResult) -> ET.Element:
    case = _case("qdebug.output", output.name)
    if output.accumulated is None:
        ET.SubElement(
            case, "skipped", {"message": visible(output.reason or STATE_WORDS[output.state])}
        )
        return case
    failed = [
        f"{limit.metric} {METRICS[limit.metric].write(value, limit.value)}, "
        f"limit {number(limit.value)}"
        for limit in run.verdict.limits
        if (value := getattr(output.accumulated, limit.metric, None)) is not None
        and limit.violated_by(value)
    ]
    told = ", ".join(m.told(getattr(output.accumulated, m.name)) for m in reversed(LEAD))
    worst = output_channel(run, output)
    if worst is not None:
        told = f"worst channel {worst.index}: {decibel(worst.sqnr_db)} dB, whole output: {told}"
    if output.state in BROKEN or (failed and output.state == "ok"):
        message = "; ".join(failed) or STATE_WORDS[output.state]
        _add(case, "failure", told, type="limit", message=message)
    else:
        _add(case, "system-out", told)
    return case


def _finding_case(run: Run, finding: Finding) -> ET.Element:
    case = _case(f"qdebug.{finding.id}", finding.slug)
    body = _body(run, finding)
    if finding.status == "fail":
        _add(case, "failure", body, type=finding.slug, message=finding.title)
    elif finding.status == "error":
        _add(case, "error", body, type=finding.slug, message=finding.title)
    elif finding.status == "not_applicable":
        _add(case, "skipped", "", message=finding.title)
    elif finding.status in ("warn", "info"):
        _add(case, "system-out", f"{finding.status}: {finding.title}\n{body}")
    return case


def _body(run: Run, finding: Finding) -> str:
    lines = [f"seen: {finding.seen}"]
    if finding.advice:
        lines.append(f"do: {finding.advice}")
    if finding.gain_db is not None:
        lines.append(f"gain: about {decibel(finding.gain_db)} dB, {finding.confidence} confidence")
    shown = [i for i in finding.layers[:20] if 0 <= i < len(run.layers)]
    return "\n".join([*lines, *(f"layer {layer_label(run.layers[i])}" for i in shown)])


def _case(classname: str, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": visible(classname), "name": visible(name)})


def _add(case: ET.Element, tag: str, text: str, **attributes: str) -> None:
    given = {key: visible(value) for key, value in attributes.items()}
    ET.SubElement(case, tag, given).text = visible(text, lines=True) or None


junit = JunitReporter()
