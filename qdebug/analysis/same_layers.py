"""Layers of the quant graph that are the float ones by their nodes alone.

Most layers of a sound twin are: the same operator with the same attributes, fed with the twins of
the same tensors, and with the float model's weights once these are put in. Such a layer, run
without its quantization, computes what the float one does; running it would prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.what_if import clip_bounds, in_quant_layout
from qdebug.capture.stats import Range
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import CLIPPING, DEQUANTIZE_OPS, QUANTIZE_OPS, RANDOM_OPS
from qdebug.graph.pairs import Pair, TensorForm, WeightPair
from qdebug.graph.qparams import dequantize, linear_quantizer
from qdebug.graph.regions import Region, Regions

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

_PLAIN = TensorForm()
_FLOAT = onnx.TensorProto.FLOAT
_QUANTIZERS = QUANTIZE_OPS | DEQUANTIZE_OPS
_HALF_STEP = 0.51
"""Rounding moves a constant by half a step; float32 arithmetic by a little more."""
_ROUNDED_SCALE = 1e-6
"""Share of a range by which its end misses a bound that it was made for: a float32 scale times the
codes. What passes is 120 dB below the range."""
_STABLE_FROM = 7
_STABLE = frozenset(
    "Add Concat Conv ConvTranspose Div Erf Exp GlobalAveragePool GlobalMaxPool HardSigmoid "
    "LeakyRelu MatMul MaxPool Mul Relu Sigmoid Sqrt Sub Tanh Transpose".split()
)
"""Operators that compute the same in every opset from ``_STABLE_FROM`` on where attributes and
operands are equal: later ones add types, and attributes that change nothing where they are absent
(onnx/docs/Changelog.md)."""


class SameLayers:
    """Tells which layers need not be run.

    Args:
        regions: of the two graphs.
        weights: of the two.
        feeds: inputs of both for one sample.
    """

    def __init__(
        self, regions: Regions, weights: tuple[WeightPair, ...], feeds: tuple[Feeds, Feeds]
    ) -> None:
        self.regions, self.weights, self.feeds = regions, weights, feeds
        self.pairs = regions.pairs
        self.float_graph, self.quant_graph = regions.float_graph, regions.quant_graph

    def is_same(self, region: Region) -> bool:
        """Whether a layer computes by its nodes what the float one does.

        An activation that only the quantizer behind the quant layer stands for counts as one: both
        results are cut to what that quantizer holds before they are compared.
        """
        pair = self.pairs[region.at]
        if len(region.quant_nodes) != 1 or not self._is_plain(pair):
            return False
        (right,) = region.quant_nodes
        left, tensor = self._before_activation(region, pair)
        if left is None or not self._are_alike(left, right):
            return False
        if left.outputs.index(tensor) != right.outputs.index(pair.raw):
            return False
        names = zip(left.inputs, right.inputs, strict=True)
        return all(self._is_same_operand(a, b, region) for a, b in names)

    def _is_plain(self, pair: Pair) -> bool:
        """Whether both sides hold the value alike, in float32."""
        kinds = (
            self.regions.float_types.get(pair.float_tensor),
            self.regions.quant_types.get(pair.raw),
        )
        is_float = all(kind is not None and kind.elem_type == _FLOAT for kind in kinds)
        return is_float and pair.raw_form == _PLAIN

    def _before_activation(self, region: Region, pair: Pair) -> tuple[Node | None, str]:
        """The float node that the quant one stands for, and the tensor that it makes."""
        nodes = region.float_nodes
        if len(nodes) == 1 and pair.float_tensor in nodes[0].outputs:
            return nodes[0], pair.float_tensor
        if len(nodes) != 2 or pair.float_tensor not in nodes[1].outputs:
            return None, ""
        first, last = nodes
        before = last.inputs[0]
        if before not in first.outputs or not self._is_in_quantizer(last, pair):
            return None, ""
        return first, before

    def _is_in_quantizer(self, node: Node, pair: Pair) -> bool:
        """Whether the quantizer lets nothing through that an activation cuts off."""
        limits = Range.of(pair.quantizer)
        if node.op not in CLIPPING or limits is None:
            return False
        constants = self.regions.float_constants
        if any(name and constants.value(name) is None for name in node.inputs[1:]):
            return False
        low, high = (0.0, np.inf) if node.op == "Relu" else clip_bounds(self.float_graph, node)
        slack = _ROUNDED_SCALE * (limits.high - limits.low)
        return limits.low >= low - slack and limits.high <= high + slack

    def _are_alike(self, left: Node, right: Node) -> bool:
        if (left.op, left.domain) != (right.op, right.domain) or left.op in RANDOM_OPS:
            return False
        if len(left.inputs) != len(right.inputs) or left.outer_inputs:
            return False
        if any(a.HasField("g") or a.graphs for a in left.proto.attribute):
            return False
        opsets = self.float_graph.opset, self.quant_graph.opset
        if _said(left, opsets[0]) != _said(right, opsets[1]):
            return False
        stable = left.op in _STABLE and min(opsets) >= _STABLE_FROM
        return left.domain in ("", "ai.onnx") and (opsets[0] == opsets[1] or stable)

    def _is_same_operand(self, mine: str, theirs: str, region: Region) -> bool:
        if not mine or not theirs:
            return mine == theirs
        if mine in self.regions.float_constants:
            return self._is_same_constant(mine, theirs, region)
        raw = self._behind_quantizers(theirs)
        at = self.regions.of_raw.get(raw)
        if at is None or self.pairs[at].float_tensor != mine or not self._is_plain(self.pairs[at]):
            return False
        return raw not in self.quant_graph.inputs or self._is_fed_alike(mine, raw)

    def _is_fed_alike(self, mine: str, theirs: str) -> bool:
        value, other = self.feeds[0].get(mine), self.feeds[1].get(theirs)
        return value is not None and other is not None and np.array_equal(value, other)

    def _behind_quantizers(self, tensor: str) -> str:
        """What a tensor was before its quantizers."""
        while tensor not in self.regions.of_raw:
            node = self.quant_graph.producer.get(tensor)
            if node is None or node.op not in _QUANTIZERS:
                break
            tensor = node.inputs[0]
        return tensor

    def _is_same_constant(self, mine: str, theirs: str, region: Region) -> bool:
        value = self.regions.float_constants.value(mine)
        other = self._constant(theirs, region)
        if value is None or other is None or value.dtype != other.dtype:
            return False
        return np.array_equal(value, other)

    def _constant(self, tensor: str, region: Region) -> Array | None:
        """What a constant of the quant graph is with nothing quantized."""
        weight = self._weight_of.get(tensor)
        if weight is not None:
            return in_quant_layout(weight, self.quant_graph)
        maker = self.quant_graph.producer.get(tensor)
        if maker is not None and maker.op in DEQUANTIZE_OPS:
            return float_constant(self.regions, maker, region)
        return self.regions.quant_constants.value(tensor)

    @cached_property
    def _weight_of(self) -> dict[str, WeightPair]:
        found: dict[str, WeightPair] = {}
        for weight in self.weights:
            for name in weight_readings(self.quant_graph, weight):
                found.setdefault(name, weight)
        return found


def _said(node: Node, opset: int) -> dict[str, Any]:
    """A node's attributes but for those that say what is so by default."""
    default = _defaults(node.op, opset)
    return {k: v for k, v in node.attributes.items() if k not in default or default[k] != v}


@cache
def _defaults(op: str, opset: int) -> dict[str, Any]:
    """What an ONNX operator's attributes are where a node does not say."""
    try:
        schema = onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return {}
    found = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.name:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def weight_readings(graph: Graph, weight: WeightPair) -> list[str]:
    """What the nodes read that stands for a weight: behind its DequantizeLinear, or itself."""
    if weight.quantizer is None:
        return [weight.quant_tensor] if weight.quant_tensor in graph.initializers else []
    return [
        node.outputs[0]
        for node in graph.consumer_nodes(weight.quant_tensor)
        if node.op in DEQUANTIZE_OPS
    ]


def float_constant(regions: Regions, node: Node, region: Region) -> Array | None:
    """The float graph's constant that a node's codes stand for, if one does within a step.

    Args:
        regions: of both graphs.
        node: that dequantizes the codes.
        region: of the layer that reads them.
    """
    codes = regions.quant_constants.value(node.inputs[0])
    quantizer = linear_quantizer(regions.quant_constants, node)
    if codes is None or quantizer is None:
        return None
    real = dequantize(codes, quantizer)
    step = float(np.max(quantizer.scale))
    for name in (name for left in region.float_nodes for name in left.inputs if name):
        shaped = _shaped_like(regions.float_constants, name, real)
        if (
            shaped is not None
            and float(np.abs(shaped - real).max(initial=0.0)) <= _HALF_STEP * step
        ):
            return shaped
    return None


def _shaped_like(constants: Constants, name: str, real: Array) -> Array | None:
    value = constants.value(name)
    if value is None or value.size != real.size or value.dtype.kind != "f":
        return None
    return value.reshape(real.shape).astype(np.float32)
