"""The layers of a synthetic run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qdebug.run.decoding import is_required
from qdebug.run.model import (
    ErrorMetrics,
    Layer,
    LocalError,
    QuantInfo,
    Role,
    Sensitivity,
    State,
    TensorRange,
    WeightError,
    WorstChannel,
)
from tests.support.hostile import HOSTILE_NAMES
from tests.support.topology import Node, detector

FloatArray = npt.NDArray[np.float64]

LIMIT_DB = 20.0
"""Below this local SQNR a layer is a source."""

_SIGNAL = 1.7
"""Mean square of every synthetic float tensor."""


def synthetic_layers(
    count: int,
    samples: Sequence[str],
    rng: np.random.Generator,
    *,
    sound: bool,
    local: bool,
    sensitivity: bool,
    hostile: bool,
) -> tuple[Layer, ...]:
    """Layers in execution order; see ``synthetic_run`` for the arguments."""
    nodes = detector(count)
    local_db = _local_profile(count, rng, sound)
    accumulated_db = _accumulated_profile(local_db)
    sample_db = accumulated_db[:, None] + rng.normal(0.0, 1.5, (count, len(samples)))
    sample_db[:, -1] -= 2.0
    layers = [
        _layer(node, i, local_db[i], accumulated_db[i], sample_db[i], samples)
        for i, node in enumerate(nodes)
    ]
    layers = _with_states(layers, sound)
    layers = [_without(layer, local, sensitivity) for layer in layers]
    return tuple(_hostile(layers) if hostile else layers)


def _local_profile(count: int, rng: np.random.Generator, sound: bool) -> FloatArray:
    profile = rng.uniform(38.0, 50.0, count)
    if not sound:
        profile[count // 5] = 24.0
        profile[count // 2] = 17.2
        profile[-1] = 7.9
    return profile


def _accumulated_profile(local_db: FloatArray) -> FloatArray:
    noise, out = 0.0, np.empty_like(local_db)
    for i, value in enumerate(local_db):
        noise = 0.97 * noise + 10 ** (-value / 10)
        out[i] = -10 * math.log10(noise)
    return out


def _layer(
    node: Node,
    index: int,
    local_db: float,
    accumulated_db: float,
    sample_db: FloatArray,
    samples: Sequence[str],
) -> Layer:
    tensor = f"{node.name}_output_0"
    channels = node.shape[1]
    worst = tuple(
        WorstChannel((7 * index + k) % channels, accumulated_db - 9.0 + k) for k in range(4)
    )
    scale = 0.0123 + (index % 11) / 1000
    return Layer(
        index=index,
        name=node.name,
        op=node.op,
        float_tensor=tensor,
        quant_tensor=f"{tensor}_DequantizeLinear_Output",
        shape=node.shape,
        paired_by="qdq",
        quant=QuantInfo("uint8", scale, 12, None, (-12 * scale, 243 * scale)),
        accumulated=_metrics(accumulated_db),
        local=_local(local_db),
        sensitivity=_sensitivity(local_db),
        clipped=0.042 if local_db < LIMIT_DB else 0.0003 * (index % 5),
        codes_used=256 - 3 * (index % 40),
        codes_total=256,
        worst_channel=worst[0],
        worst_channels=worst,
        worst_sample=samples[int(np.argmin(sample_db))],
        state="ok",
        reason=None,
        role=_role(local_db, accumulated_db),
        channel_axis=1,
        sample_sqnr_db=tuple(float(x) for x in sample_db),
        range_float=TensorRange(-3.1, 41.7 if local_db < LIMIT_DB else 3.2),
        range_quant=TensorRange(-12 * scale, 243 * scale),
        weight=_weight(node) if node.op == "Conv" else None,
        inputs=node.inputs,
        outputs=node.outputs,
    )


def _metrics(sqnr_db: float) -> ErrorMetrics:
    noise = 10 ** (-sqnr_db / 10)
    cosine = 1 / math.sqrt(1 + noise)
    return ErrorMetrics(
        cosine=cosine,
        centered_cosine=cosine - 0.01 * noise,
        sqnr_db=sqnr_db,
        mse=_SIGNAL * noise,
        rel_l2=math.sqrt(noise),
        max_abs=4 * math.sqrt(_SIGNAL * noise),
        bias=0.02 * math.sqrt(noise),
        gain=1 - 0.1 * noise,
    )


def _local(sqnr_db: float) -> LocalError:
    base = _metrics(sqnr_db)
    clipping = base.mse * (0.8 if sqnr_db < LIMIT_DB else 0.05)
    return LocalError(**vars(base), clipping_mse=clipping, rounding_mse=base.mse - clipping)


def _sensitivity(local_db: float) -> Sensitivity:
    at_output = local_db + 3.0
    return Sensitivity(at_output, _metrics(at_output).cosine, "output0", {"output0": at_output})


def _role(local_db: float, accumulated_db: float) -> Role:
    if local_db < LIMIT_DB:
        return "source"
    return "victim" if accumulated_db < LIMIT_DB else "sound"


def _weight(node: Node) -> WeightError:
    name = node.name.strip("/").replace("/", ".").removesuffix(".Conv")
    return WeightError(
        tensor=f"{name}.weight",
        quant_tensor=f"{name}.weight_quantized",
        shape=(node.shape[1], node.shape[1], 3, 3),
        dtype="int8",
        per_channel=False,
        sqnr_db=36.5,
        cosine=0.99988,
        worst_channel=WorstChannel(5, 21.0),
    )


def _with_states(layers: list[Layer], sound: bool) -> list[Layer]:
    """Give some layers in the first third the unusual states; small runs have none."""
    if len(layers) < 40:
        return layers
    nothing = _metrics(0.0)
    exact = dataclasses.replace(
        _metrics(300.0), cosine=1.0, sqnr_db=math.inf, mse=0.0, rel_l2=0.0, max_abs=0.0, bias=0.0
    )
    unusual: list[tuple[State, ErrorMetrics | None, str]] = [
        ("identical", exact, "equal in every bit"),
        ("zero_both", exact, "zero on both sides"),
        ("low_signal", _metrics(11.0), "the float tensor is nearly constant"),
        ("not_compared", None, "int64 tensor"),
    ]
    if not sound:
        measured = [f.name for f in dataclasses.fields(ErrorMetrics) if is_required(f)]
        undefined = dict.fromkeys(measured, math.nan)
        unusual += [
            ("zero_quant", dataclasses.replace(nothing, cosine=0.0, gain=0.0), "all codes equal"),
            (
                "zero_float",
                dataclasses.replace(nothing, sqnr_db=-math.inf, rel_l2=math.inf, cosine=0.0),
                "the float tensor is zero",
            ),
            ("nonfinite", ErrorMetrics(**undefined), "3 values are NaN in the quant run"),
        ]
    for step, (state, metrics, reason) in enumerate(unusual):
        at = 3 + 4 * step
        layers[at] = _in_state(layers[at], state, metrics, reason)
    return layers


def _in_state(layer: Layer, state: State, metrics: ErrorMetrics | None, reason: str) -> Layer:
    value = metrics.sqnr_db if metrics else math.nan
    changed = dataclasses.replace(
        layer,
        state=state,
        accumulated=metrics,
        reason=reason,
        role=None,
        sample_sqnr_db=tuple(value for _ in layer.sample_sqnr_db) if metrics else (),
    )
    if metrics is not None:
        return changed
    return dataclasses.replace(
        changed, local=None, sensitivity=None, clipped=None, codes_used=None, codes_total=None,
        worst_channel=None, worst_channels=(), worst_sample=None, quant=None, range_quant=None,
    )  # fmt: skip


def _without(layer: Layer, local: bool, sensitivity: bool) -> Layer:
    if not sensitivity:
        layer = dataclasses.replace(layer, sensitivity=None)
    return layer if local else dataclasses.replace(layer, local=None, role=None)


def _hostile(layers: list[Layer]) -> list[Layer]:
    """Spread the hostile names over the layers, the last (worst) one included."""
    at = len(layers) - 1
    for name in HOSTILE_NAMES[: len(layers)]:
        layers[at] = dataclasses.replace(
            layers[at], name=name, float_tensor=f"{name}_float", quant_tensor=f"{name}_quant"
        )
        at -= 1
    return layers
