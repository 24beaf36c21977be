"""``float16-overflow``, ``nonfinite``, ``int16-saturation-risk``, ``runtime-mismatch``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import DAMAGED_DB, FAIL_GAIN_DB
from qdebug.checks.weight_values import layers_of_nodes
from qdebug.graph.model import Graph, Node
from qdebug.graph.qparams import DEQUANTIZE_OPS
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus, OutputResult

FLOAT16_MAX = 65504.0
NEAR = 0.5
"""A value beyond this share of the limit may overflow on another picture."""
INT16_MAX = 32767
UINT8_MAX = 255


def _float16_overflow(context: CheckContext) -> Iterator[Finding]:
    rows: list[list[str | float]] = []
    layers: list[int] = []
    for layer in context.layers:
        half = context.quant_graph.type_of(layer.quant_tensor).dtype == "float16"
        peak = _peak(context, layer.index)
        if peak > NEAR * FLOAT16_MAX and (half or layer.state == "nonfinite"):
            rows.append([layer.name, float(f"{peak:.5g}"), layer.state])
            layers.append(layer.index)
    if not rows:
        return
    over = [row for row in rows if float(row[1]) > FLOAT16_MAX]
    name, largest = max(over or rows, key=lambda row: float(row[1]))[:2]
    yield FLOAT16.found(
        "fail" if over else "warn",
        f"{name}: {largest:.4g} {'is beyond' if over else 'is near'} float16's largest, 65504",
        f"{len(over)} layers leave the range of float16 in the float run, {len(rows) - len(over)} "
        "more come within half of it.",
        f"Keep `{name}` and what squares or sums into it in float32, or scale the values down "
        "before (a power of two in the weights before and after changes nothing else).",
        layers=layers,
        evidence=[
            Evidence(
                "table",
                "Largest values of the float run",
                {"columns": ["layer", "largest value", "state"], "rows": rows[:30]},
            )
        ],
        confidence="high",
    )


def _has_float16(context: CheckContext) -> str | None:
    graph = context.quant_graph
    names = [*graph.initializers, *graph.types]
    if any(graph.type_of(name).dtype == "float16" for name in names):
        return None
    return "the quant model has no float16 tensor"


def _peak(context: CheckContext, at: int) -> float:
    moments = context.stats[at].accumulated
    if moments is None or float(moments.n.sum()) == 0:
        return 0.0
    return float(max(abs(moments.min_f.min()), abs(moments.max_f.max())))


def _nonfinite(context: CheckContext) -> Iterator[Finding]:
    bad = [layer for layer in context.layers if layer.state == "nonfinite"]
    if not bad:
        return
    counts = {x.index: _nonfinite_counts(context, x.index) for x in bad}
    only_quant = [x for x in bad if counts[x.index][1] > 0]
    first = (only_quant or bad)[0]
    outputs = [o.name for o in context.outputs if o.state == "nonfinite"]
    status: FindingStatus = "fail" if outputs else ("warn" if only_quant else "info")
    side = "quant" if only_quant else "float"
    f, q = counts[first.index]
    reach = f"They reach {', '.join(outputs)}." if outputs else "They do not reach an output."
    yield NONFINITE.found(
        status,
        f"{first.name}: NaN or infinity, first in the {side} run",
        f"{f} values of the float run and {q} more of the quant run are not finite there; "
        f"{len(bad)} layers have such values. {reach}",
        f"Look at what `{first.name}` computes (a division, a root, a logarithm, an overflow) and "
        "at the scale of its inputs.",
        layers=[x.index for x in bad],
        confidence="high",
    )


def _nonfinite_counts(context: CheckContext, at: int) -> tuple[int, int]:
    moments = context.stats[at].accumulated
    if moments is None:
        return 0, 0
    return int(moments.nonfinite_f.sum()), int(moments.nonfinite_q.sum())


def _int16_saturation(context: CheckContext) -> Iterator[Finding]:
    layers = context.once(layers_of_nodes)
    rows: list[list[str | float]] = []
    touched: list[int] = []
    for pair in context.pairing.weights:
        if pair.role != "weight" or pair.quantizer is None or pair.quantizer.dtype != "int8":
            continue
        if not _reads_uint8(context.quant_graph, pair.quant_tensor):
            continue
        share = saturating_share(context.quant_graph, pair.quant_tensor)
        if share > 0:
            label = context.float_graph.nodes[pair.node].label
            rows.append([label, round(100 * share, 2)])
            touched += [layers[pair.node]] if pair.node in layers else []
    if not rows:
        return
    rows.sort(key=lambda row: -float(row[1]))
    columns = ["layer", "pairs of weights that can saturate, %"]
    yield SATURATION.found(
        "info",
        f"{len(rows)} layers can saturate int16 on CPUs without VNNI",
        f"uint8 activations times int8 weights are added in pairs in 16 bits there; in "
        f"{rows[0][0]} {rows[0][1]} % of neighbouring weights exceed {INT16_MAX} with full "
        "activations.",
        "Deploy on a CPU with AVX-512 VNNI or AVX-VNNI, or quantize with `reduce_range=True` "
        "(7-bit weights), or with int8 activations.",
        layers=touched,
        evidence=[Evidence("table", "Layers at risk", {"columns": columns, "rows": rows[:30]})],
        confidence="medium",
    )


def saturating_share(graph: Graph, tensor: str) -> float:
    """Share of neighbouring weights that can overflow int16 in a u8 x s8 multiply-add.

    ``vpmaddubsw`` adds ``a0 w0 + a1 w1`` in 16 bits; with ``a`` up to 255 that saturates where two
    weights of the same sign exceed 32767 / 255 together.
    """
    codes = graph.constant(tensor)
    if codes is None or codes.dtype != np.int8 or codes.size < 2:
        return 0.0
    flat = codes.reshape(len(codes), -1).astype(np.int64) if codes.ndim > 1 else codes[None]
    even = flat[:, : flat.shape[1] // 2 * 2].reshape(-1, 2)
    if not len(even):
        return 0.0
    positive = np.maximum(even, 0).sum(axis=1)
    negative = np.minimum(even, 0).sum(axis=1)
    over = (UINT8_MAX * positive > INT16_MAX) | (UINT8_MAX * negative < -INT16_MAX - 1)
    return float(over.mean())


def _reads_uint8(graph: Graph, weight: str) -> bool:
    """Whether a product with this weight takes uint8 activations."""
    users = graph.consumer_nodes(weight)
    nodes: list[Node] = []
    for node in users:
        nodes += graph.consumer_nodes(node.outputs[0]) if node.op in DEQUANTIZE_OPS else [node]
    return any(_activation_type(graph, node) == "uint8" for node in nodes)


def _activation_type(graph: Graph, node: Node) -> str:
    maker = graph.producer.get(node.inputs[0])
    codes = maker.inputs[0] if maker is not None and maker.op in DEQUANTIZE_OPS else node.inputs[0]
    kind = graph.type_of(codes)
    if kind.elem_type == 0 and maker is not None and len(maker.inputs) > 2:
        return graph.type_of(maker.inputs[2]).dtype
    return kind.dtype


def _runtime_mismatch(context: CheckContext) -> Iterator[Finding]:
    for output in context.outputs:
        worse = _worse(output)
        if worse is None or (context.task is not None and context.task.is_quiet(output.name)):
            continue
        declared, deployed = worse
        status: FindingStatus = "fail" if deployed < 8.0 <= declared else "warn"
        runtime = output.runtime.sqnr_db if output.runtime is not None else math.nan
        yield RUNTIME.found(
            status,
            f"Output {output.name}: optimizations change the answer",
            f"Against the float model the quant model has {declared:.1f} dB as it is written and "
            f"{deployed:.1f} dB with all graph optimizations; the two agree to {runtime:.1f} dB.",
            "Find the optimization: set `session.disable_quant_qdq` to 1, or disable optimizers by "
            "name (`disabled_optimizers`), until the answer returns; report it to the runtime.",
            layers=[] if output.layer is None else [output.layer],
            confidence="medium",
        )


def _worse(output: OutputResult) -> tuple[float, float] | None:
    """Declared and deployed SQNR, where the deployed one is much worse, and bad.

    The two are of different samples where only some were run as deployed. On the same samples the
    deployed error is at most the declared one plus the difference of the two (triangle inequality):
    where that difference is less than half of it, it is not what makes the answer bad.
    """
    if output.accumulated is None or output.deployed is None:
        return None
    declared, deployed = output.accumulated.sqnr_db, output.deployed.sqnr_db
    if math.isnan(deployed):
        return None if math.isnan(declared) else (declared, -math.inf)
    bad = deployed < min(declared - FAIL_GAIN_DB, DAMAGED_DB)
    if output.runtime is not None and output.runtime.sqnr_db > deployed + FAIL_GAIN_DB:
        return None
    return (declared, deployed) if bad else None


def _was_deployed(context: CheckContext) -> str | None:
    if any(o.deployed is not None for o in context.outputs):
        return None
    return "no output was compared as deployed"


FLOAT16 = Check(KINDS["float16-overflow"], _float16_overflow, _has_float16)
NONFINITE = Check(KINDS["nonfinite"], _nonfinite)
SATURATION = Check(
    KINDS["int16-saturation-risk"],
    _int16_saturation,
)
RUNTIME = Check(
    KINDS["runtime-mismatch"],
    _runtime_mismatch,
    _was_deployed,
)
