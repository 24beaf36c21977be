"""``qdq-mismatch``: codes are read with other parameters than they were written with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import gain_of, rounded, structural_status
from qdebug.checks.facts.evidence import gain_evidence
from qdebug.checks.facts.qdq import SAME, QdqMismatch, mismatches
from qdebug.graph.pairs import Quantizer
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding


def _qdq_mismatch(context: CheckContext) -> Iterator[Finding]:
    for item in context.once(mismatches):
        yield _mismatch_finding(context, item)


def _mismatch_finding(context: CheckContext, item: QdqMismatch) -> Finding:
    raw = item.quantize.inputs[0]
    own = [layer.at for layer in context.joined if layer.pair.raw == raw]
    layers = _reached(context, item.dequantize.outputs[0], own)
    what_if = context.what_if
    usable = [at for at in own if what_if is not None and what_if.can_free(at)]
    cure = Change(quantizers={at: item.written for at in usable[:1]})
    gain = gain_of(context, cure)
    users = ", ".join(
        n.label for n in context.quant_graph.consumer_nodes(item.dequantize.outputs[0])
    )
    difference = _describe(item.written, item.read)
    finding = QDQ_MISMATCH.found(
        structural_status(context, gain) if usable else "fail",
        f"{raw}: Q and DQ disagree ({difference}), read by {users or 'the output'}",
        f"{item.quantize.label} writes codes with {_parameters(item.written)}, "
        f"{item.dequantize.label} reads them with {_parameters(item.read)}: every value comes out "
        f"changed ({difference}).",
        f"Give `{item.dequantize.label}` the scale and zero point of `{item.quantize.label}`. Both "
        "must share one pair of constants; look at the tool that rewrote one of them.",
        layers=layers,
        evidence=[
            Evidence(
                "table",
                "Parameters of the two",
                {
                    "columns": ["node", "scale", "zero point"],
                    "rows": [
                        [item.quantize.label, *_numbers(item.written)],
                        [item.dequantize.label, *_numbers(item.read)],
                    ],
                },
            ),
            *gain_evidence(context, gain),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )
    return context.cured_by(finding, cure)


def _reached(context: CheckContext, read: str, own: list[int]) -> list[int]:
    """The layers of the tensor itself and of the nodes that read it."""
    users = {n.index for n in context.quant_graph.consumer_nodes(read)}
    graph = context.quant_graph
    found = [
        layer.at
        for layer in context.joined
        if (maker := graph.producer.get(layer.pair.raw)) is not None and maker.index in users
    ]
    return sorted({*own, *found})


def _describe(written: Quantizer, read: Quantizer) -> str:
    told = []
    ratio = float((read.scale.astype(np.float64) / written.scale).reshape(-1)[0])
    if abs(ratio - 1) > SAME:
        told.append(f"scale times {ratio:.4g}")
    shift = int((read.zero_point - written.zero_point).reshape(-1)[0])
    if shift:
        told.append(f"zero point {shift:+d}")
    return " and ".join(told) or "in some channels"


def _numbers(quantizer: Quantizer) -> tuple[float, int]:
    scale, zero = quantizer.scale.reshape(-1)[0], quantizer.zero_point.reshape(-1)[0]
    return float(f"{float(scale):.6g}"), int(zero)


def _parameters(quantizer: Quantizer) -> str:
    scale, zero = _numbers(quantizer)
    return f"scale {scale:.4g} and zero point {zero}"


QDQ_MISMATCH = Check(KINDS["qdq-mismatch"], _qdq_mismatch)
