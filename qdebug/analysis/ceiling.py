"""The 16-bit ceiling: the quant graph with 16-bit codes over the same ranges.

Every integer quantizer gets 65,536 codes between the same two ends, and what a weight lost to
rounding is given back. What error then remains at the outputs is not a matter of resolution:
clipping, wrong weights, a wrong input, the export.

A quantizer of ``b`` bits has ``2^b - 1`` steps, and 65,535 is a multiple of that for 4, 8 and 16
bits: with the factor ``k = 65535 / (2^b - 1)`` the scale becomes ``scale / k``, the zero point
``k zero_point`` (signed codes: shifted so that the lowest code stands for the same number), and
both ends and zero stay exactly where they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.state import error_metrics
from qdebug.errors import ModelError
from qdebug.graph.constants import Constants
from qdebug.graph.describe import describe
from qdebug.graph.model import Graph, Node
from qdebug.graph.pairs import Pairing, Quantizer, WeightPair
from qdebug.graph.qparams import dequantize, linear_quantizer
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.metrics.moments import Moments, include, measure
from qdebug.run.model import ErrorMetrics

Array = npt.NDArray[Any]

_STEPS_16 = 65535
"""Steps of a 16-bit range."""
_NARROW = {"uint4": 4, "int4": 4, "uint8": 8, "int8": 8}
"""Bits of the code types that are widened."""
ROUNDING = 1.0
"""A weight within so many steps of the float model's was rounded: AdaRound (Nagel et al. 2020)
takes either neighbour."""


@dataclass(frozen=True)
class CeilingModel:
    """A quant model with 16-bit codes.

    Attributes:
        model: the model.
        outputs: quant output name to the name of that output in ``model``.
        tensors: quantized tensors that have 16 bits now.
        left: quantized tensors that could not be given them.
        weights: weights whose rounding was undone.
    """

    model: onnx.ModelProto
    outputs: Mapping[str, str]
    tensors: int
    left: int
    weights: int


def widened(quantizer: Quantizer) -> Quantizer:
    """The same range with 16-bit codes.

    Args:
        quantizer: with integer codes of 4 or 8 bits.
    """
    factor = _STEPS_16 // (2 ** _NARROW[quantizer.dtype] - 1)
    zero = quantizer.zero_point * factor
    signed = not quantizer.dtype.startswith("u")
    if signed:
        zero = zero + factor * 2 ** (_NARROW[quantizer.dtype] - 1) - 2**15
    return Quantizer(
        "int16" if signed else "uint16",
        np.asarray(quantizer.scale / np.float32(factor), np.float32),
        np.asarray(zero, np.int64),
        quantizer.axis,
        -(2**15) if signed else 0,
        2**15 - 1 if signed else _STEPS_16,
    )


def ceiling_model(graph: Graph, pairing: Pairing) -> CeilingModel | str:
    """Give a quant graph 16-bit codes.

    Args:
        graph: the quant graph.
        pairing: of its weights with the float graph's.

    Returns:
        The model, or a sentence that says why there is none.
    """
    form = describe(graph).format
    if form not in ("qdq", "mixed"):
        return _REASONS.get(form, "the quant model holds no quantizers with fixed ranges")
    return _Widening(graph, pairing).build()


_REASONS = {
    "dynamic": "the ranges of a dynamically quantized model are found while it runs",
    "float16": "a float16 model has no integer codes",
    "qoperator": "the integer operators of a QOperator model have no 16-bit form; make the QDQ "
    "form of it (quant_format=QuantFormat.QDQ) to measure its ceiling",
}


class _Widening:
    """Rewrites one graph; see ``ceiling_model``."""

    def __init__(self, graph: Graph, pairing: Pairing) -> None:
        self.graph, self.constants = graph, Constants(graph)
        self.builder = PartBuilder(graph)
        self.names: dict[str, str] = {}
        self.weights = {w.quant_tensor: w for w in pairing.weights if w.role == "weight"}
        self.tensors = self.left = self.refined = 0

    def build(self) -> CeilingModel | str:
        for node in self.graph.nodes:
            self._add(node)
        if not self.tensors:
            return "none of its quantizers can be given 16-bit codes"
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            self.builder.add_input(name, known.elem_type, known.shape)
        outputs = {name: self.names.get(name, name) for name in self.graph.outputs}
        for name in outputs.values():
            self.builder.add_output(name)
        model = self.builder.build()
        return CeilingModel(model, outputs, self.tensors, self.left, self.refined)

    def _add(self, node: Node) -> None:
        quantizer = self._quantizer(node)
        if node.op == "QuantizeLinear":
            if quantizer is not None and self._only_dequantized(node):
                self.tensors += 1
                self._emit(node, quantizer)
                return
            self.left += quantizer is not None
        elif node.op == "DequantizeLinear" and quantizer is not None:
            if node.inputs[0] in self.names:
                self._emit(node, quantizer)
                return
            if node.inputs[0] in self.weights and self._refine(node, quantizer):
                return
        self.builder.add_nodes([node], self.names)

    def _quantizer(self, node: Node) -> Quantizer | None:
        """Of a Q or DQ node whose codes can be widened; None for any other node."""
        if node.op not in ("QuantizeLinear", "DequantizeLinear"):
            return None
        quantizer = linear_quantizer(self.constants, node)
        if quantizer is None or quantizer.dtype not in _NARROW or quantizer.block_size:
            return None
        return quantizer

    def _only_dequantized(self, node: Node) -> bool:
        codes = node.outputs[0]
        readers = self.graph.consumer_nodes(codes)
        return codes not in self.graph.outputs and all(
            reader.op == "DequantizeLinear" and self._quantizer(reader) is not None
            for reader in readers
        )

    def _emit(self, node: Node, quantizer: Quantizer) -> None:
        source = self.names.get(node.inputs[0], node.inputs[0])
        made = self.builder.quantization(
            node.op, source, widened(quantizer), f"ceiling/{node.index}"
        )
        self.names[node.outputs[0]] = made

    def _refine(self, node: Node, quantizer: Quantizer) -> bool:
        """Put a weight in place without what rounding took from it."""
        codes = self.graph.constant(node.inputs[0])
        if codes is None:
            return False
        value = without_rounding(self.weights[node.inputs[0]], codes, quantizer)
        if value is None:
            return False
        name = f"{PREFIX}ceiling/{node.index}/weight"
        self.names[node.outputs[0]] = self.builder.constant(name, value)
        self.refined += 1
        return True


def without_rounding(
    pair: WeightPair, codes: Array, quantizer: Quantizer
) -> npt.NDArray[np.float32] | None:
    """A weight that is the float model's wherever only rounding parts the two.

    Args:
        pair: the weight in both graphs.
        codes: as the quant graph holds them.
        quantizer: of the codes.

    Returns:
        Real numbers in the codes' layout; None where that layout is not the float graph's, nor
        its transpose.
    """
    real = dequantize(codes, quantizer)
    reference = np.asarray(pair.reference, np.float32)
    in_float_layout = pair.quant_value
    if real.ndim == 2 and not _equal(real, in_float_layout):
        reference, in_float_layout = reference.T, in_float_layout.T
    if not _equal(real, in_float_layout) or reference.shape != real.shape:
        return None
    step = dequantize(_zero(codes, quantizer) + np.ones(codes.shape, np.int64), quantizer)
    is_rounded = np.abs(reference - real) <= ROUNDING * np.abs(step)
    return np.asarray(np.where(is_rounded, reference, real), np.float32)


def _zero(codes: Array, quantizer: Quantizer) -> Array:
    """Zero points, broadcastable against the codes."""
    if quantizer.axis is None or quantizer.zero_point.ndim == 0:
        return quantizer.zero_point
    shape = [1] * codes.ndim
    shape[quantizer.axis] = -1
    return quantizer.zero_point.reshape(shape)


def _equal(first: Array, second: Array) -> bool:
    return first.shape == second.shape and bool(np.array_equal(first, second))


class Ceiling:
    """Runs the 16-bit model on every sample and measures its outputs.

    Args:
        graph: the quant graph.
        pairing: of the two graphs.
        settings: how the quant graph is run; the ceiling is run as the declared simulation.
        outputs: float output name to quant output name.
    """

    def __init__(
        self,
        graph: Graph,
        pairing: Pairing,
        settings: SessionSettings,
        outputs: Mapping[str, str],
    ) -> None:
        self.reason: str | None = None
        self.made: CeilingModel | None = None
        self._session: Session | None = None
        self._names: dict[str, str] = {}
        self._moments: dict[str, Moments] = {}
        made = ceiling_model(graph, pairing)
        if isinstance(made, str):
            self.reason = made
            return
        try:
            self._session = Session(made.model, graph, settings)
        except ModelError as error:  # this ONNX Runtime may lack a 16-bit kernel
            self.reason = f"ONNX Runtime cannot run it with 16-bit codes: {error.message}"
            return
        self.made = made
        self._names = {f: made.outputs[q] for f, q in outputs.items() if q in made.outputs}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs for one sample by float output name; empty where there is no 16-bit model."""
        if self._session is None:
            return {}
        values = self._session.run(feeds, list(dict.fromkeys(self._names.values())))
        found = {f: values[name] for f, name in self._names.items()}
        return {
            name: np.asarray(value, np.float32)
            for name, value in found.items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        }

    def measure(self, reference: Mapping[str, Array], values: Mapping[str, Array]) -> None:
        """Include one sample's outputs, each shaped like the float model's."""
        for name, value in values.items():
            part = measure(reference[name].reshape(-1), value.reshape(-1))
            include(self._moments, name, part)

    def metrics(self, output: str) -> ErrorMetrics | None:
        """The float model against the 16-bit one at an output."""
        return error_metrics(self._moments[output]) if output in self._moments else None
