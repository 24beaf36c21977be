"""What a check looks at, put together from a few arrays: no model is run.

    layers = [measured("a", f, q, op="Conv", quantizer=steps_of(0.1))]
    run_check(CHECK, check_context(layers, float_model=model))

Names, neighbours and states of the layers are made as in a comparison, by ``make_layers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.roles import assign_roles
from qdebug.analysis.what_if import SAMPLES, Change, Gain, Part, WhatIf
from qdebug.capture import stats as capture_stats
from qdebug.capture.stats import LayerStats
from qdebug.checks import CheckContext, JoinedLayer, join_layers
from qdebug.comparison.layers import make_layers, make_outputs
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair, Pairing, Quantizer, WeightPair
from qdebug.run.model import Layer, SampleInfo, Unpaired

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Measured:
    """A layer and its values in both runs; see ``measured``."""

    pair: Pair
    samples: tuple[tuple[Array, Array], ...]
    local: Array | None
    axis: int | None
    op: str

    def stats(self) -> LayerStats:
        """As capture gathers them."""
        stats = LayerStats(self.pair.quantizer, self.axis, len(self.samples))
        for f, q in self.samples:
            stats.include(capture_stats.measured([(stats, f, q)])[0])
        if self.local is not None:
            (part,) = capture_stats.measured_local([(stats, self.samples[0][0], self.local)])
            stats.include_local(part)
        return stats


def measured(
    tensor: str,
    float_value: Any,
    quant_value: Any,
    *more: tuple[Any, Any],
    op: str = "",
    quantizer: Quantizer | None = None,
    local: Any = None,
    axis: int | None = 1,
    quant_tensor: str | None = None,
) -> Measured:
    """A layer by the values it has in the two runs.

    Args:
        tensor: in the float graph.
        float_value: of the first sample.
        quant_value: of the first sample.
        more: the two values of further samples.
        op: operator, where the float graph does not tell.
        quantizer: at this tensor.
        local: what the quant layer makes of the float run's inputs, first sample.
        axis: of the channels; None for none.
        quant_tensor: in the quant graph; as in the float graph if not given.
    """
    quant = quant_tensor or tensor
    pair = Pair(tensor, quant, quant, (), quantizer, "name")
    samples = [(float_value, quant_value), *more]
    values = tuple((np.asarray(f, np.float32), np.asarray(q, np.float32)) for f, q in samples)
    return Measured(pair, values, None if local is None else np.float32(local), axis, op)


def step_of(step: float, zero_point: int = 0, dtype: str = "uint8") -> Quantizer:
    """A per-tensor quantizer of 8 bits."""
    low = -128 if dtype == "int8" else 0
    return Quantizer(
        dtype, np.array(step, np.float32), np.array(zero_point, np.int64), None, low, low + 255
    )


def graph_of(model: onnx.ModelProto | None) -> Graph:
    """The graph of a model that lies in no file; an empty one for None."""
    return Graph(model or onnx.ModelProto(), Path("model.onnx"), "")


def check_context(
    layers: Sequence[Measured] = (),
    *,
    float_model: onnx.ModelProto | None = None,
    quant_model: onnx.ModelProto | None = None,
    weights: Sequence[WeightPair] = (),
    unpaired: Sequence[Unpaired] = (),
    **given: Any,
) -> CheckContext:
    """A context of some layers.

    Args:
        layers: in execution order; outputs of the float model among them are compared.
        float_model: the reference; an empty graph if not given.
        quant_model: its twin; an empty graph if not given.
        weights: paired weights.
        unpaired: float tensors without a counterpart.
        given: further fields of the context, in place of those made here.
    """
    float_graph = graph_of(float_model)
    pairing = Pairing(tuple(x.pair for x in layers), tuple(weights), tuple(unpaired), ())
    stats = [layer.stats() for layer in layers]
    count = max((len(layer.samples) for layer in layers), default=0)
    samples = tuple(SampleInfo(f"sample {number}", "") for number in range(count))
    made = make_layers(float_graph, pairing, stats, samples)
    records = [replace(x, op=layer.op or x.op) for x, layer in zip(made, layers, strict=True)]
    fields: dict[str, Any] = {
        "float_graph": float_graph,
        "quant_graph": graph_of(quant_model),
        "pairing": pairing,
        "joined": join_layers(pairing.pairs, stats, assign_roles(records)),
        "outputs": make_outputs(float_graph, records, pairing, None),
        "samples": samples,
    }
    return CheckContext(**{**fields, **given})


def recorded(records: Sequence[Layer]) -> tuple[JoinedLayer, ...]:
    """Layers of which only the record is known."""
    pairs = [
        Pair(x.float_tensor, x.quant_tensor, x.quant_tensor, (), None, "name") for x in records
    ]
    return join_layers(pairs, [LayerStats(None, None, 1) for _ in records], records)


@dataclass
class FixedGains:
    """Stands in for ``WhatIf``: the gain of a change is the sum of what its layers are given.

    Attributes:
        db: gain of freeing each layer, by position.
        before: SQNR at the output without any change, dB.
        feeds: inputs of both graphs, for each sample.
        tried: changes whose gain was asked for, in order.
    """

    db: Mapping[int, float] = field(default_factory=dict)
    before: float = 5.0
    feeds: Sequence[tuple[Feeds, Feeds]] = ()
    tried: list[Change] = field(default_factory=list)

    @property
    def samples(self) -> range:
        return range(max(1, len(self.feeds)))

    def can_free(self, at: int) -> bool:
        return at in self.db

    def expect(self, change: Change) -> None:
        """Nothing is made ready here."""

    def run_ahead(self, changes: Sequence[Change], *rest: object) -> None:
        """Nothing takes time here."""

    def gain(
        self,
        change: Change,
        parts: Sequence[Part] = (),
        base: Change | None = None,
        count: int = SAMPLES,
        *,
        everywhere: bool = False,
        matters: Callable[[Gain], bool] | None = None,
    ) -> Gain | None:
        self.tried.append(change)
        known = [self.db[at] for at in sorted(change.free) if at in self.db]
        if not known:
            return None
        part = parts[0] if parts else Part("out")
        return Gain(part, self.before, self.before + sum(known))

    def as_what_if(self) -> WhatIf:
        """For the type checker."""
        return cast(WhatIf, self)
