"""``dead-channel``: output channels whose weights are all zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.evidence import name_channels
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import weight_rows
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding


def _dead_channel(context: CheckContext) -> Iterator[Finding]:
    layers = context.once(layers_of_nodes)
    rows: list[list[str | int]] = []
    touched: list[int] = []
    for pair in context.pairing.weights:
        if pair.role != "weight":
            continue
        f, q = weight_rows(pair)
        if f.shape != q.shape:
            continue
        dead = np.flatnonzero(~f.any(axis=1))
        if len(dead):
            node = context.float_graph.nodes[pair.node]
            rows.append([node.label, name_channels(dead.tolist()), len(dead)])
            touched += [layers[pair.node]] if pair.node in layers else []
    if rows:
        count = sum(int(row[2]) for row in rows)
        table = {"columns": ["layer", "channels", "count"], "rows": rows}
        yield DEAD_CHANNEL.found(
            "info",
            f"{count} output channel{'s have' if count > 1 else ' has'} all-zero weights",
            "They compute nothing but their bias. Quantizers give them a scale of zero or of their "
            "own choice, which some toolchains turn into infinity.",
            "Prune them before quantization where the toolchain complains.",
            layers=touched,
            evidence=[Evidence("table", "Channels without weights", table)],
            confidence="high",
        )


DEAD_CHANNEL = Check(KINDS["dead-channel"], _dead_channel)
