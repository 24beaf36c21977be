"""What the browser copies and writes as Markdown, for tickets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qdebug.metrics.metric import LEAD, METRICS
from qdebug.run.model import ErrorMetrics, Finding, Layer, Run, Sensitivity
from qdebug.tui.context import Session
from qdebug.tui.lines import cell_text
from qdebug.tui.text import visible
from qdebug.vocabulary.numbers import decibel, number, percent
from qdebug.vocabulary.states import STATE_WORDS


def code(text: str) -> str:
    """A name as inline code, whatever it holds: longer fences around backticks, pipes escaped."""
    shown = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in _tick_runs(shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _tick_runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; cells are written as they are given, with pipes escaped."""
    lines = [_row(columns), _row(["---"] * len(columns))]
    return "\n".join([*lines, *(_row(row) for row in rows)])


def _row(cells: Sequence[Any]) -> str:
    texts = [cell_text(cell).replace("\n", " ") for cell in cells]
    return "| " + " | ".join(t if "\\|" in t else t.replace("|", "\\|") for t in texts) + " |"


def layer_markdown(layer: Layer) -> str:
    """A layer with its three errors."""
    parts = (
        ("accumulated", layer.accumulated),
        ("local", layer.local),
        ("sensitivity", layer.sensitivity),
    )
    rows = [
        [name, *_lead(part), number(part.rel_l2) if isinstance(part, ErrorMetrics) else ""]
        for name, part in parts
        if part is not None
    ]
    facts = [f"state {STATE_WORDS[layer.state]}"]
    facts += [f"role {layer.role}"] if layer.role else []
    facts += [f"clipped {percent(layer.clipped)}"] if layer.clipped is not None else []
    return "\n".join(
        [
            f"**#{layer.index} {code(layer.name)}** ({code(layer.op)}): {', '.join(facts)}",
            "",
            table(["error", *(m.heading for m in LEAD), METRICS["rel_l2"].title], rows),
            "",
            f"float tensor {code(layer.float_tensor)}, quant tensor {code(layer.quant_tensor)}",
            "",
        ]
    )


def _lead(part: ErrorMetrics | Sensitivity | None) -> list[str]:
    return [metric.write(getattr(part, metric.name, None)) for metric in LEAD]


def finding_markdown(finding: Finding, layers: Mapping[int, Layer]) -> str:
    """A finding with what was seen, what to do, and the evidence that can be written."""
    lines = [f"### {finding.id} {finding.slug}: {_prose(finding.title)}", ""]
    lines += [f"- **Seen**: {_prose(finding.seen)}"] if finding.seen else []
    lines += [f"- **Do**: {_prose(finding.advice)}"] if finding.advice else []
    if finding.gain_db is not None:
        lines.append(f"- **Gain**: about {finding.gain_db:.1f} dB at the output (estimate)")
    lines.append(f"- **Confidence**: {finding.confidence}")
    named = [layers[i] for i in finding.layers if i in layers]
    if named:
        shown = ", ".join(f"#{x.index} {code(x.name)}" for x in named[:8])
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        lines.append(f"- **Layers**: {shown}{more}")
    for item in finding.evidence:
        lines += _evidence(item.kind, item.title, item.data)
    return "\n".join([*lines, ""])


def _evidence(kind: str, title: str, data: Mapping[str, Any]) -> list[str]:
    head = ["", f"{_prose(title)}:", ""]
    if kind == "table":
        return [*head, table(data["columns"], data["rows"])]
    if kind == "key_values":
        return [*head, table(["", ""], data["items"])]
    if kind == "bars":
        unit = data.get("unit") or "value"
        pairs = zip(data["labels"], data["values"], strict=False)
        return [*head, table(["", unit], [list(pair) for pair in pairs])]
    if kind == "code":
        fence = "`" * max(3, 1 + max((len(r) for r in _tick_runs(data["text"])), default=0))
        return [*head, f"{fence}{data.get('language', '')}", data["text"], fence]
    return []


def _prose(text: str) -> str:
    return " ".join(visible(part) for part in text.split("\n"))


def excerpt(session: Session, layers: Sequence[Layer]) -> str:
    """A page for a ticket: verdict, findings that matter, and some layers."""
    run = session.run
    by_index = {layer.index: layer for layer in run.layers}
    lines = [f"## {run.verdict.status.upper()} at the {run.verdict.gate} gate", ""]
    lines += [_prose(run.verdict.reason), "", _models(run), ""]
    outputs = [
        [
            code(output.name),
            *_lead(output.accumulated),
            STATE_WORDS[output.state],
        ]
        for output in run.outputs
    ]
    lines += [table(["output", *(f"accumulated {m.heading}" for m in LEAD), "state"], outputs), ""]
    wanted = [f for f in run.findings if f.status in ("fail", "warn", "error")]
    lines += [finding_markdown(finding, by_index) for finding in wanted[:6]]
    lines += ["### Layers", "", layer_table(layers), ""]
    return "\n".join(lines)


def layer_table(layers: Sequence[Layer]) -> str:
    """Layers with their three errors."""
    rows = [
        [
            layer.index,
            code(layer.name),
            code(layer.op),
            decibel(layer.accumulated.sqnr_db if layer.accumulated else None),
            decibel(layer.local.sqnr_db if layer.local else None),
            decibel(layer.sensitivity.sqnr_db if layer.sensitivity else None),
            layer.role or STATE_WORDS[layer.state],
        ]
        for layer in layers
    ]
    return table(["#", "layer", "op", "accumulated dB", "local dB", "sensitivity dB", ""], rows)


def _models(run: Run) -> str:
    models = run.models
    return (
        f"float {code(models.float.file)} (sha256 {models.float.sha256[:12]}), "
        f"quant {code(models.quant.file)} ({models.quant.format}, "
        f"sha256 {models.quant.sha256[:12]}), {len(run.samples)} samples, "
        f"qdebug {run.tool.version}, onnxruntime {run.tool.onnxruntime}"
    )
