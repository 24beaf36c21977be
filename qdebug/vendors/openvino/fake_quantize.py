"""OpenVINO's ``FakeQuantize`` in an ONNX graph, as NNCF exports it, as standard operators.

Source: OpenVINO's specification of FakeQuantize-1: values are cut to the input range, rounded to
one of ``levels`` even steps, and spread over the output range.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from qdebug.encodings.opsets import MICROSOFT, opset_of
from qdebug.encodings.rewriting import Rewriting
from qdebug.errors import ModelError
from qdebug.graph.model import Array, Node
from qdebug.graph.validity import name_of

OPERATORS = frozenset({"FakeQuantize"})
_BITS = {256: 8, 255: 8, 65536: 16, 65535: 16}
_AXIS_OPSET, _WIDE_OPSET = 13, 21
_OFF = 1e-3
"""Steps by which zero may miss a code (by judgement: float32 ranges of a step's width come nearer
than that, and a range that does not hold zero is off by up to half a step)."""


def expand(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Replace FakeQuantize; changes and returns the model.

    Args:
        model: a graph of NNCF's.
        folder: where its external weights lie.

    Raises:
        ModelError: an operator does something that codes with one step and a zero point do not.
    """
    return _Expansion(model, folder).run()


class _Expansion(Rewriting):
    """One graph on its way to standard operators."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        super().__init__(model, folder)
        kinds = [n.attributes.get("levels") for n in self.graph.nodes if n.op in OPERATORS]
        wide = any(_BITS.get(int(levels or 0)) == 16 for levels in kinds)
        enough = opset_of(model) >= (_WIDE_OPSET if wide else _AXIS_OPSET)
        self.domain = "" if enough else MICROSOFT

    def run(self) -> onnx.ModelProto:
        """The whole graph."""
        for node in self.graph.nodes:
            if node.op in OPERATORS:
                self._fake(node)
            else:
                self.nodes.append(node.proto)
        return self.written()

    def _fake(self, node: Node) -> None:
        low, high = self._range(node)
        levels = int(node.attributes.get("levels", 0))
        if levels not in _BITS:
            raise _odd(node, f"has {levels} levels: no type of codes has so many")
        scale = ((high - low) / (levels - 1)).astype(np.float32)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise _odd(node, "has an empty range, or one that is not finite")
        narrow, bits = levels % 2 == 1, _BITS[levels]
        first = -(2 ** (bits - 1)) + narrow if (low < 0).any() else 0
        real = first - low / scale
        if (np.abs(real - np.rint(real)) > _OFF).any():
            raise _odd(node, "has a range in which zero is no code, and QuantizeLinear has one")
        dtype = np.dtype(f"{'int' if first else 'uint'}{bits}")
        least = low if narrow else None
        self._write(node, scale, np.rint(real).astype(dtype), least)

    def _range(self, node: Node) -> tuple[Array, Array]:
        ends = [self.graph.constant(name) for name in node.inputs[1:5]]
        if len(ends) < 4 or any(value is None for value in ends):
            raise _odd(node, "computes its range")
        low, high, *written = (np.asarray(value, np.float64) for value in ends)
        if any((one != other).any() for one, other in zip((low, high), written, strict=True)):
            raise _odd(node, "writes another range than it reads")
        return low, high

    def _write(self, node: Node, scale: Array, zero: Array, least: Array | None) -> None:
        """Add Q and DQ; of a range without the smallest code, its end is kept by a Max before."""
        out = node.outputs[0]
        wide = [at for at, size in enumerate(scale.shape) if size > 1]
        if len(wide) > 1:
            raise _odd(node, "has a range for more than one axis")
        rank = self.graph.type_of(node.inputs[0]).shape
        shift = len(rank) - scale.ndim if rank is not None and scale.ndim else 0
        attributes = {"axis": wide[0] + shift} if wide else {}
        shape = (-1,) if wide else ()
        scales = self.constant(f"{out}_scale", scale.reshape(shape))
        zeros = self.constant(f"{out}_zero_point", zero.reshape(shape))
        codes = f"{out}_QuantizeLinear_Output"
        source = node.inputs[0]
        if least is not None:
            end = self.constant(f"{out}_least", least.astype(np.float32))
            self.nodes.append(helper.make_node("Max", [source, end], [f"{out}_cut"], f"{out}_Max"))
            source = f"{out}_cut"
        self.emit("QuantizeLinear", [source, scales, zeros], codes, **attributes)
        self.emit("DequantizeLinear", [codes, scales, zeros], out, **attributes)


def _odd(node: Node, what: str) -> ModelError:
    return ModelError(
        f"{node.op} {name_of(node.label)} {what}", "export the graph with QDQ nodes instead"
    )
