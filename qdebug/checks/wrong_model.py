"""``wrong-model``: the quant model was made from another float model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import foreign_weights, is_other_model, row_cosines, weight_rows
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding


def _wrong_model(context: CheckContext) -> Iterator[Finding]:
    foreign, compared = context.once(foreign_weights)
    if not is_other_model(context):
        return
    layers = context.once(layers_of_nodes)
    rows = []
    for pair in foreign[:20]:
        f, q = weight_rows(pair)
        node = context.float_graph.nodes[pair.node]
        rows.append([node.label, round(float(np.nanmean(row_cosines(f, q))), 4)])
    table = {"columns": ["layer", "mean cosine of the channels"], "rows": rows}
    yield WRONG_MODEL.found(
        "fail",
        "the quant model was not made from this float model",
        f"In {len(foreign)} of {compared} layers the dequantized weights do not correlate with the "
        f"float model's; rounding to 8 bits keeps a cosine above 0.99.",
        "Compare with the float model that was quantized, or quantize this one again: check the "
        "file names, the training run and the date of both.",
        layers=[layers[pair.node] for pair in foreign if pair.node in layers],
        evidence=[Evidence("table", "Weights of the two models", table)],
        confidence="high",
    )


WRONG_MODEL = Check(
    KINDS["wrong-model"],
    _wrong_model,
    lambda context: None if context.pairing.weights else "no weights were paired",
)
