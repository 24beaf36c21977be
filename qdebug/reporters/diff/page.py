"""A comparison as one HTML page: static, offline, without scripts."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from qdebug.metrics.metric import LEAD
from qdebug.reporters.diff.view import (
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
from qdebug.reporters.html import svg
from qdebug.reporters.html.page import asset, content_policy, environment
from qdebug.run.diff import LayerDiff, RunDiff

_MAX_ROWS = 60
_WIDTH, _HEIGHT = 1080.0, 220.0
_PLOT = svg.Box(44, 32, _WIDTH - 60, _HEIGHT - 72)
_MOST_DB = 30.0


def render_html(diff: RunDiff) -> str:
    """The whole page."""
    shown = view(diff)
    values: dict[str, Any] = {
        "diff": diff,
        "shown": shown,
        "limits": limits_text(diff),
        "arrow": arrow,
        "changes_of": changes_of,
        "lead": LEAD,
        "metric_arrow": metric_arrow,
        "task_text": task_text,
        "score_text": score_text,
        "worst_channel_arrow": worst_channel_arrow,
        "signed": signed,
        "max_rows": _MAX_ROWS,
        "figure": _figure(diff.layers),
        "style": asset("style.css"),
        "policy": content_policy(()),
    }
    page: str = environment().get_template("diff.html").render(values)
    return page


def _figure(layers: tuple[LayerDiff, ...]) -> Markup | None:
    """Change of the accumulated SQNR along the network: up is worse."""
    changes = [(i, delta) for i, layer in enumerate(layers)
               if (delta := layer.accumulated.delta) is not None]  # fmt: skip
    if not changes:
        return None
    most = min(_MOST_DB, max(3.0, *(abs(delta) for _, delta in changes)))
    across = svg.Scale(0, max(1, len(layers) - 1), _PLOT.left, _PLOT.right)
    up = svg.Scale(-most, most, _PLOT.top, _PLOT.bottom)
    bars = {
        kind: "".join(
            f"M{across(i):.1f} {up(0.0):.1f}V{up(delta):.1f}"
            for i, delta in changes
            if (delta > 0) == (kind == "better")
        )
        for kind in ("better", "worse")
    }
    width = max(1.0, min(6.0, _PLOT.width / len(layers) * 0.7))
    drawn = (("better", svg.BLUE, "s0"), ("worse", svg.RED, "limit"))
    parts = [
        svg.tag("path", d=bars[kind], stroke=color, stroke_width=width, class_=class_)
        for kind, color, class_ in drawn
    ]
    labels = [
        svg.text(_PLOT.left - 6, up(level) + 4, f"{level:+.0f}" if level else "0", anchor="end")
        for level in (-most, 0.0, most)
    ]
    base = svg.rule(_PLOT.left, up(0.0), _PLOT.right, up(0.0))
    axis = svg.text(_WIDTH / 2, _HEIGHT - 8, "layer, in execution order", anchor="middle")
    title = "Change of the accumulated SQNR of every layer, dB; up is worse"
    head = svg.text(6, 14, "change of the accumulated SQNR, dB (up is worse)")
    return svg.figure(title, _WIDTH, _HEIGHT, *parts, base, *labels, axis, head, class_="network")
