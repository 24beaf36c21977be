"""A comparison as JSON and as Markdown."""

from __future__ import annotations

import json

from qdebug.metrics.metric import LEAD
from qdebug.reporters.diff.view import (
    MAX_LAYERS,
    DiffView,
    arrow,
    changes_of,
    limits_text,
    metric_arrow,
    score_text,
    signed,
    task_text,
    view,
    worst_channel_arrow,
)
from qdebug.reporters.markdown import code, escaped, prose
from qdebug.run.codec import encode
from qdebug.run.diff import FindingDiff, LayerDiff, OutputDiff, RunDiff
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.states import STATUS_GLYPHS

_MAX_FINDINGS = 10


def render_json(diff: RunDiff) -> str:
    """Everything; its schema is ``qdebug.diff/1``."""
    value = encode(diff) | {"regressions": len(diff.regressions), "exit_code": diff.exit_code}
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def render_markdown(diff: RunDiff) -> str:
    """At most about 60 lines, for a ticket or a CI summary."""
    shown = view(diff)
    parts = [
        _head(diff, shown),
        _outputs(shown),
        [f"- task: {escaped(task_text(item))}" for item in shown.task],
        [f"- {escaped(score_text(item))}" for item in shown.scores],
        _findings(shown),
        _layers("Regressed", shown.regressed),
        _layers("Improved", shown.improved),
        _settings(shown),
        [f"Layers: {shown.counts}. Limits: {limits_text(diff)}."],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(diff: RunDiff, shown: DiffView) -> list[str]:
    mark = STATUS_GLYPHS["fail" if diff.exit_code else "pass"]
    old, new = diff.old_verdict.status.upper(), diff.new_verdict.status.upper()
    return [
        f"## {mark} {escaped(shown.headline)}",
        "",
        f"- old: {code(diff.old_models.quant.file)} {old}, "
        f"new: {code(diff.new_models.quant.file)} {new}",
        *(f"- not comparable number by number: {escaped(caveat)}" for caveat in diff.caveats),
    ]


def _outputs(shown: DiffView) -> list[str]:
    rows = [_output(output) for output in shown.outputs[:6]]
    titles = " | ".join(metric.heading for metric in LEAD[1:])
    head = [f"| output | {LEAD[0].heading} | change | worst channel, dB | {titles} | |"]
    head.append(f"|---|--:|--:|--:|{'--:|' * len(LEAD[1:])}---|")
    return [*head, *rows] if rows else []


def _output(output: OutputDiff) -> str:
    word = "regressed" if output.regressed else output.change
    cells = (
        code(output.name, in_table=True),
        arrow(output.accumulated),
        signed(output.accumulated),
        worst_channel_arrow(output),
    )
    others = (metric_arrow(metric, output) for metric in LEAD[1:])
    return f"| {' | '.join((*cells, *others, word))} |"


def _findings(shown: DiffView) -> list[str]:
    return [_finding(item) for item in shown.findings[:_MAX_FINDINGS]]


def _finding(item: FindingDiff) -> str:
    was, now = item.old_status or "absent", item.new_status or "absent"
    return f"- **{escaped(f'{item.id} {item.slug}')}** {was} → {now}: {prose(item.title).strip()}"


def _layers(title: str, layers: tuple[LayerDiff, ...]) -> list[str]:
    if not layers:
        return []
    rows = [_layer(layer) for layer in layers[:MAX_LAYERS]]
    more = [f"and {len(layers) - MAX_LAYERS} more"] if len(layers) > MAX_LAYERS else []
    head = ["| layer | accumulated, dB | local, dB | what changed |", "|---|--:|--:|---|"]
    return [f"### {title}", "", *head, *rows, *([""] if more else []), *more]


def _layer(layer: LayerDiff) -> str:
    index = layer.old if layer.new is None else layer.new
    name = code(f"{index} {visible(layer.name)}", in_table=True)
    cells = (
        name,
        f"{arrow(layer.accumulated)} ({signed(layer.accumulated)})",
        arrow(layer.local),
        escaped("; ".join(changes_of(layer))),
    )
    return f"| {' | '.join(cells)} |"


def _settings(shown: DiffView) -> list[str]:
    return [f"- {count} layers: {escaped(setting)}" for setting, count in shown.settings]
