"""Encodings of a quantized graph: of its Q and DQ nodes, and of its operators on codes."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.encodings.application import BEFORE
from qdebug.encodings.model import Encoding, Encodings, Entry, Kind
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import BETWEEN_Q_AND_DQ_IN_PLACE, DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.pairing.ops import code_op
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import code_range, linear_quantizer, make_quantizer, qonnx_quantizer
from qdebug.graph.walk import walk

CODES = "_quantized"
"""What ONNX Runtime appends to the name of a tensor or weight that holds codes."""


def extract_encodings(graph: Graph) -> Encodings:
    """Read how a graph is quantized.

    Names are those of the float graph it was made from as far as the quantizer kept them: what
    ONNX Runtime appends is taken off.

    Args:
        graph: of QDQ or QOperator form, or with QONNX's ``Quant``.
    """
    found = _Extraction(graph)
    entries = [entry for node in graph.nodes for entry in found.of(node)]
    return Encodings(tuple(_once(entries)), form="onnx", origin=graph.path.name)


class _Extraction:
    """One graph being read."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.constants = graph, Constants(graph)

    def of(self, node: Node) -> Iterator[Entry]:
        """What a node says."""
        if node.op in QUANTIZE_OPS:
            yield from self._quantized(node)
        elif node.op in DEQUANTIZE_OPS and self._is_stored(node.inputs[0]):
            yield from self._weight(node.inputs[0], linear_quantizer(self.constants, node))
        elif node.op == "Quant":
            yield from self._fake(node)
        else:
            yield from self._on_codes(node)

    def _quantized(self, node: Node) -> Iterator[Entry]:
        quantizer = linear_quantizer(self.constants, node)
        if quantizer is None:
            return
        if self.graph.is_constant(node.inputs[0]):
            yield from self._weight(node.inputs[0], quantizer)
            return
        source = node.inputs[0]
        encoding, readers, is_output = self._read_as(node, quantizer)
        others = [other for other in self.graph.readers.get(source, ()) if other is not node]
        alone = not others and (is_output or source not in self.graph.outputs)
        name = source.removesuffix(BEFORE)
        yield Entry(name, encoding, "tensor", () if alone else tuple(readers))

    def _read_as(self, node: Node, quantizer: Quantizer) -> tuple[Encoding, list[str], bool]:
        """The encoding with what its DQ nodes add, who reads it, whether it is an output."""
        encoding = Encoding.of(quantizer)
        readers: dict[str, None] = {}
        is_output = False
        for codes in walk([node.outputs[0]], self._onward):
            is_output |= codes in self.graph.outputs
            for reader in self.graph.readers.get(codes, ()):
                if reader.op in DEQUANTIZE_OPS:
                    out = reader.outputs[0]
                    readers |= dict.fromkeys(r.label for r in self.graph.readers.get(out, ()))
                    is_output |= out in self.graph.outputs
                    encoding = self._reread(encoding, reader)
                elif codes == node.outputs[0] and reader.op == "Clip":
                    encoding = self._clipped(encoding, reader)
                elif code_op(reader) is not None:
                    readers[reader.label] = None
        return encoding, list(readers), is_output

    def _onward(self, codes: str) -> list[str]:
        """Codes that hold the same values as these."""
        nodes = self.graph.readers.get(codes, ())
        return [n.outputs[0] for n in nodes if n.op in BETWEEN_Q_AND_DQ_IN_PLACE]

    def _reread(self, encoding: Encoding, node: Node) -> Encoding:
        """The encoding, where the scale codes are read with is not that they are written with."""
        quantizer = linear_quantizer(self.constants, node)
        same = quantizer is None or Encoding.of(quantizer) == Encoding(
            encoding.dtype, encoding.scale, encoding.zero_point, encoding.axis, encoding.block_size
        )
        if same or quantizer is None or quantizer.scale.ndim:
            return encoding
        return Encoding(
            encoding.dtype,
            encoding.scale,
            encoding.zero_point,
            encoding.axis,
            encoding.block_size,
            dequantize_scale=quantizer.scale,
        )

    def _clipped(self, encoding: Encoding, node: Node) -> Encoding:
        """The encoding, where a Clip of the codes leaves the smallest one out."""
        low = self.constants.value(node.inputs[1]) if len(node.inputs) > 1 else None
        first, _ = code_range(encoding.dtype)
        if low is None or int(low) != first + 1:
            return encoding
        return Encoding(
            encoding.dtype,
            encoding.scale,
            encoding.zero_point,
            encoding.axis,
            encoding.block_size,
            narrow=True,
        )

    def _is_stored(self, tensor: str) -> bool:
        return self.graph.is_constant(tensor)

    def _weight(self, codes: str, quantizer: Quantizer | None) -> Iterator[Entry]:
        if quantizer is not None:
            yield Entry(codes.removesuffix(CODES), Encoding.of(quantizer), "weight")

    def _fake(self, node: Node) -> Iterator[Entry]:
        quantizer = qonnx_quantizer(self.constants, node)
        if quantizer is not None:
            kind: Kind = "weight" if self.graph.is_constant(node.inputs[0]) else "tensor"
            yield Entry(node.inputs[0], Encoding.of(quantizer), kind)

    def _on_codes(self, node: Node) -> Iterator[Entry]:
        """What an operator on codes says of its stored operands and its result."""
        places = code_op(node)
        if places is None:
            return
        inputs = (*node.inputs, *[""] * 12)
        for operand in places.operands:
            tensor = inputs[operand.slot]
            if operand.scale >= 0 and tensor and self._is_stored(tensor):
                yield from self._weight(tensor, self._given(node, operand.scale, operand.zero, 0))
        if places.out_scale >= 0 and inputs[places.out_scale]:
            quantizer = self._given(node, places.out_scale, places.out_zero, 1)
            if quantizer is not None:
                yield Entry(node.outputs[0].removesuffix(CODES), Encoding.of(quantizer))

    def _given(self, node: Node, scale: int, zero: int, axis: int) -> Quantizer | None:
        inputs = (*node.inputs, *[""] * 12)
        return make_quantizer(self.constants, inputs[scale], inputs[zero], "uint8", axis)


def _once(entries: list[Entry]) -> Iterator[Entry]:
    """Entries without repetitions: two DQ nodes may read one weight."""
    seen: dict[tuple[str, str, tuple[str, ...]], Entry] = {}
    for entry in entries:
        key = (entry.kind, entry.name, entry.readers)
        if key not in seen:
            seen[key] = entry
            yield entry
