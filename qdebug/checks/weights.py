"""``weight-mismatch``, ``bias-clipped``, ``dead-channel``, and ``wrong-model``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import (
    float_layers,
    gain_evidence,
    gain_of,
    name_channels,
    rounded,
    structural_status,
)
from qdebug.checks.weight_values import (
    BIAS_LIMIT,
    WeightDifference,
    bias_codes,
    differences,
    foreign_layers,
    is_clipped,
    layers_of_nodes,
    row_cosines,
    weight_rows,
    weight_steps,
)
from qdebug.metrics.sqnr import rows_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float

MOST = 3
"""Layers that get a finding each; more of them share one."""
FOREIGN_SHARE = 0.5
"""So many layers with foreign weights make the model another one."""


def _weight_mismatch(context: CheckContext) -> Iterator[Finding]:
    found = differences(context)
    if len({item.pair.node for item in found}) > MOST:
        yield _many_mismatches(context, found)
        return
    for item in found:
        yield _mismatch(context, item)


def _mismatch(context: CheckContext, item: WeightDifference) -> Finding:
    label, role = context.float_graph.nodes[item.pair.node].label, item.pair.role
    gain = gain_of(context, Change(weights=frozenset({item.pair.node})))
    return _mismatch_finding(
        context,
        [item],
        gain,
        f"{label}: the {role} is not the float model's ({item.detail})",
        f"In {_which(item)} the dequantized {role} ({item.pair.quant_tensor}) is {item.detail} "
        f"against {item.pair.float_tensor}: SQNR {item.worst_db:.1f} dB at worst, where rounding "
        f"stays within half a step.",
        f"Export the {role} of `{label}` again from this float model; look at what rewrote it in "
        "between (equalization, folding, a hand-made edit, a stale file).",
    )


def _many_mismatches(context: CheckContext, items: Sequence[WeightDifference]) -> Finding:
    worst = sorted(items, key=lambda item: item.worst_db)
    nodes = frozenset(item.pair.node for item in items)
    label = context.float_graph.nodes[worst[0].pair.node].label
    return _mismatch_finding(
        context,
        worst,
        gain_of(context, Change(weights=nodes)),
        f"{len(nodes)} layers have a weight or bias that is not the float model's",
        f"Worst in {label}: {_which(worst[0])} of its {worst[0].pair.role} "
        f"({worst[0].pair.quant_tensor}) are {worst[0].detail}, SQNR {worst[0].worst_db:.1f} dB; "
        "rounding stays within half a step.",
        "Quantize this float model again, or compare with the one that was quantized: so many "
        "layers at once point to a step in between that rewrites weights (equalization, folding, "
        "fine-tuning).",
    )


def _mismatch_finding(
    context: CheckContext,
    items: Sequence[WeightDifference],
    gain: Gain | None,
    title: str,
    seen: str,
    advice: str,
) -> Finding:
    return WEIGHT_MISMATCH.found(
        structural_status(context, gain),
        title,
        seen,
        advice,
        layers=dict.fromkeys(item.layer for item in items if item.layer is not None),
        evidence=[
            *gain_evidence(context, gain),
            _difference_table(context, items),
            _bars(items[0]),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


def _which(item: WeightDifference) -> str:
    count = len(item.channels)
    if count == item.total:
        return f"all {item.total} channels"
    return f"channel{'s' if count > 1 else ''} {name_channels(item.channels)} of {item.total}"


def _difference_table(context: CheckContext, items: Sequence[WeightDifference]) -> Evidence:
    rows = [
        [
            context.float_graph.nodes[item.pair.node].label,
            item.pair.role,
            name_channels(item.channels),
            item.detail,
            round(max(item.worst_db, -100.0), 1),
        ]
        for item in items[:30]
    ]
    columns = ["layer", "of it", "channels", "in the quant model", "worst channel's SQNR, dB"]
    return Evidence("table", "What differs", {"columns": columns, "rows": rows})


def _bars(item: WeightDifference) -> Evidence:
    f, q = weight_rows(item.pair)
    db = np.clip(np.nan_to_num(rows_db(f, q), posinf=100.0, neginf=-20.0), -20.0, 100.0)
    shown = np.argsort(db, kind="stable")[:32]
    data = {
        "labels": [f"channel {index}" for index in shown],
        "values": [round(float(db[index]), 1) for index in shown],
        "unit": "dB",
    }
    return Evidence("bars", f"SQNR of the {item.pair.role}, worst channels first", data)


def is_other_model(context: CheckContext) -> bool:
    """Whether the quant model's weights come from another float model."""
    foreign, compared = context.once(foreign_layers)
    return compared > 1 and len(foreign) >= FOREIGN_SHARE * compared


def _wrong_model(context: CheckContext) -> Iterator[Finding]:
    foreign, compared = context.once(foreign_layers)
    if compared < 2 or len(foreign) < FOREIGN_SHARE * compared:
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


def _unless_other(context: CheckContext) -> str | None:
    if not context.pairing.weights:
        return "no weights were paired"
    if is_other_model(context):
        return "the quant model was made from another float model"
    return None


def _bias_clipped(context: CheckContext) -> Iterator[Finding]:
    layers = context.once(layers_of_nodes)
    for pair in context.pairing.weights:
        if not is_clipped(context, pair):
            continue
        codes = bias_codes(context, pair)
        f, q = weight_rows(pair)
        if codes is None or f.shape != q.shape:
            continue
        at_limit = np.flatnonzero(np.abs(codes.astype(np.int64)) >= BIAS_LIMIT)
        gain = gain_of(context, Change(weights=frozenset({pair.node})))
        first = int(at_limit[0])
        node = context.float_graph.nodes[pair.node]
        scale = float(weight_steps(pair, len(f))[first, 0])
        lost = float(np.abs(q - f).max())
        touched = [layers[pair.node]] if pair.node in layers else []
        yield BIAS_CLIPPED.found(
            structural_status(context, gain) if lost > 0.01 * float(np.abs(f).max()) else "info",
            f"{node.label}: the int32 bias is at its limit in {len(at_limit)} of {len(f)} channels",
            f"With a bias scale of {scale:.3g} (input scale x weight scale) int32 reaches "
            f"{2**31 * scale:.3g}; channel {first} wants {f[first, 0]:.4g} and gets "
            f"{q[first, 0]:.4g}. The weights of these channels are nearly zero.",
            f"Give `{node.label}` per-channel weight scales with a floor (ONNX Runtime 1.22 and "
            "later adjusts them), or remove the near-zero channels, or keep the layer in float.",
            layers=touched,
            evidence=[
                *gain_evidence(context, gain),
                *(keep_in_float(float_layers(context, touched), context.vendor) if touched else ()),
            ],
            gain_db=rounded(gain),
            confidence="high",
        )


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


WRONG_MODEL = Check(
    KINDS["wrong-model"],
    _wrong_model,
    lambda context: None if context.pairing.weights else "no weights were paired",
)
WEIGHT_MISMATCH = Check(
    KINDS["weight-mismatch"],
    _weight_mismatch,
    _unless_other,
)
BIAS_CLIPPED = Check(KINDS["bias-clipped"], _bias_clipped, _unless_other)
DEAD_CHANNEL = Check(KINDS["dead-channel"], _dead_channel)
