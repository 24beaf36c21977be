"""``weight-mismatch``: a weight or bias that is not the float model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.differences import WeightDifference, differences, is_comparable
from qdebug.checks.facts.effect import gain_of, rounded, structural_status
from qdebug.checks.facts.evidence import gain_evidence, name_channels
from qdebug.checks.facts.rewritten import made_up_for
from qdebug.checks.facts.weights import unless_other_model, weight_rows
from qdebug.metrics.sqnr import rows_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vocabulary.numbers import plural

ONE_EACH = 3
"""Layers that get a finding each; more of them share one, to be read at a glance."""
SHOWN = 5
"""Weights that could not be compared, by name; how many more there are is told."""


def _weight_mismatch(context: CheckContext) -> Iterator[Finding]:
    by_tensor: dict[tuple[str, str], list[WeightDifference]] = {}
    for item in context.once(differences):
        by_tensor.setdefault((item.pair.quant_tensor, item.pair.role), []).append(item)
    made_up = context.once(made_up_for)
    groups = [g for g in by_tensor.values() if g[0].pair.node not in made_up]
    if len({items[0].pair.node for items in groups}) > ONE_EACH:
        yield _many_mismatches(context, [item for items in groups for item in items])
    else:
        yield from (_mismatch(context, items) for items in groups)
    rewritten = [g[0] for g in by_tensor.values() if g[0].pair.node in made_up]
    if rewritten:
        yield _rewritten(context, rewritten, made_up)


def _rewritten(
    context: CheckContext, items: Sequence[WeightDifference], lost: Mapping[int, float]
) -> Finding:
    """Weights that were rewritten together so that the model computes the same."""
    count = len({item.pair.node for item in items})
    label = context.float_graph.nodes[items[0].pair.node].label
    return WEIGHT_MISMATCH.found(
        "info",
        f"{plural(count, 'layer')} with other weights than the float model's, which others make up "
        "for",
        f"The float model's weights put back into {label} alone cost the outputs "
        f"{lost[items[0].pair.node]:.1f} dB: channels were rescaled in one layer and back in the "
        "next (equalization, SmoothQuant). Such layers differ from the float model's and the "
        "outputs need not.",
        "Nothing is wrong with that. To see where the rest is lost, compare with the float model "
        "as it was rewritten.",
        layers=dict.fromkeys(item.layer for item in items if item.layer is not None),
        evidence=[_difference_table(context, items)],
        confidence="medium",
    )


def _mismatch(context: CheckContext, items: Sequence[WeightDifference]) -> Finding:
    """One constant that is not the float model's, whatever number of layers reads it."""
    item = items[0]
    label, role = context.float_graph.nodes[item.pair.node].label, item.pair.role
    whose = f"{label} and {plural(len(items) - 1, 'more layer')}" if items[1:] else label
    return _mismatch_finding(
        context,
        items,
        f"{whose}: the {role} is not the float model's ({item.detail})",
        f"In {_which(item)} the dequantized {role} ({item.pair.quant_tensor}) is {item.detail} "
        f"against {item.pair.float_tensor}: SQNR {item.worst_db:.1f} dB at worst, where rounding "
        f"stays within half a step.",
        f"Export the {role} of `{label}` again from this float model; look at what rewrote it in "
        "between (equalization, folding, a hand-made edit, a stale file).",
    )


def _many_mismatches(context: CheckContext, items: Sequence[WeightDifference]) -> Finding:
    worst = sorted(items, key=lambda item: item.worst_db)
    nodes = {item.pair.node for item in items}
    label = context.float_graph.nodes[worst[0].pair.node].label
    return _mismatch_finding(
        context,
        worst,
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
    title: str,
    seen: str,
    advice: str,
) -> Finding:
    cure = Change(weights=frozenset(item.pair.node for item in items))
    gain = gain_of(context, cure)
    finding = WEIGHT_MISMATCH.found(
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
        confidence="medium" if items[0].pair.found_by == "place" else "high",
    )
    return context.cured_by(finding, cure)


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


def _passed(context: CheckContext) -> tuple[str, str]:
    """What a pass covers: how many of the float model's weights were compared."""
    missing = context.pairing.uncompared
    counts, all_were = [], not missing
    for role, extra in (("weight", len(missing)), ("bias", 0)):
        pairs = [pair for pair in context.pairing.weights if pair.role == role]
        compared = sum(is_comparable(context, pair) for pair in pairs)
        total = len(pairs) + extra
        all_were = all_were and compared == total
        if total:
            counts.append(f"{compared} of {total} {'weights' if role == 'weight' else 'biases'}")
    told = f"{' and '.join(counts)} were compared."
    if missing:
        shown = ", ".join(f"`{label}`" for label in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        told += f" Without a counterpart: the weight of {shown}{more}."
    passed = KINDS["weight-mismatch"].passed
    return (passed if all_were else f"{' and '.join(counts)} compared, up to rounding equal"), told


WEIGHT_MISMATCH = Check(
    KINDS["weight-mismatch"], _weight_mismatch, unless_other_model, passed=_passed
)
