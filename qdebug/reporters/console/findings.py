"""The findings: what was seen, what to do, what it is likely to win back."""

from __future__ import annotations

from collections import Counter

from rich.cells import cell_len
from rich.text import Text

from qdebug.reporters.console.look import STATUS_STYLES, Look
from qdebug.reporters.ranking import findings_with, seen_findings
from qdebug.run.model import Evidence, Finding, Run
from qdebug.run.pages import explanation_of
from qdebug.vocabulary.numbers import plural
from qdebug.vocabulary.states import STATUS_GLYPHS

_LEAD = "      {:<6}"
_LAYERS = 4
_MORE = "What each means, how to verify and how to fix it: qdebug explain NAME"


def section(run: Run, look: Look) -> list[Text]:
    """Counts, then every finding that saw something, then the others by name."""
    if not run.findings:
        return []
    lines = look.items("Findings  ", _counts(run), lead_style="bold")
    for finding in seen_findings(run):
        lines += _finding(finding, look)
    if any(explanation_of(finding) for finding in seen_findings(run) if finding.status != "info"):
        lines += look.hanging("  ", _MORE, lead_style="dim")
    for status in ("pass", "not_applicable"):
        for finding in findings_with(run, status):
            lines += _headline(finding, look)
    return lines


def _counts(run: Run) -> list[str]:
    counts = Counter(finding.status for finding in run.findings)
    told = [
        plural(counts["fail"], "error") if counts["fail"] else "",
        plural(counts["warn"], "warning") if counts["warn"] else "",
        plural(counts["info"], "note") if counts["info"] else "",
        f"{plural(counts['error'], 'check')} crashed" if counts["error"] else "",
        f"{counts['pass']} passed" if counts["pass"] else "",
        f"{counts['not_applicable']} not applicable" if counts["not_applicable"] else "",
    ]
    return [item for item in told if item]


def _finding(finding: Finding, look: Look) -> list[Text]:
    lines = _headline(finding, look)
    if finding.status == "info":
        return lines
    lines += _row("seen", finding.seen, look)
    if finding.advice:
        lines += _row("do", finding.advice, look)
    if finding.gain_db is not None:
        gain = f"about {finding.gain_db:.1f} dB at the output ({finding.confidence} confidence)"
        lines += _row("gain", gain, look)
    pasted = next((item for item in finding.evidence if item.kind == "code"), None)
    return [*lines, *(code_to_paste(pasted, _LEAD.format(""), look) if pasted else [])]


def code_to_paste(item: Evidence, lead: str, look: Look) -> list[Text]:
    """Code under its title; its lines are never broken, so it needs a page that is wide enough."""
    text = [look.safe(line) for line in str(item.data["text"]).rstrip("\n").split("\n")]
    if max(map(cell_len, text)) + len(lead) + 2 > look.width:
        return look.hanging(lead, f"{item.title}: code to paste on a wider page", style="dim")
    lines = (look.line(f"{lead}  ", (line, "cyan")) for line in text)
    return [*look.hanging(lead, f"{item.title}:", style="dim"), *lines]


def _headline(finding: Finding, look: Look) -> list[Text]:
    style = STATUS_STYLES[finding.status]
    label = f"  {STATUS_GLYPHS[finding.status]} {finding.id} {finding.slug}  "
    layers = _layers(finding)
    text = f"{layers}  {finding.title}" if layers else finding.title
    if look.width < 70:
        return [look.line((look.cut(label, look.width), style)), *look.hanging("      ", text)]
    return look.hanging(label, text, lead_style=style)


def _layers(finding: Finding) -> str:
    told = [f"#{index}" for index in finding.layers[:_LAYERS]]
    rest = len(finding.layers) - len(told)
    return " ".join([*told, f"+{rest}"] if rest > 0 else told)


def _row(label: str, text: str, look: Look) -> list[Text]:
    rows: list[Text] = []
    for number, paragraph in enumerate(text.strip().split("\n")):
        lead = _LEAD.format(label if number == 0 else "")
        rows += look.hanging(lead, paragraph, lead_style="dim")
    return rows
