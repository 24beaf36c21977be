"""What a toolchain's folder tells of encodings: its files, its arithmetic, what it can be told.

A folder's ``encodings.py`` makes a `ToolchainEncodings`. Files are recognized by their content;
reading gives `qdebug.encodings.Encodings` in the file's own names, which are then looked for in the
float graph (`qdebug.encodings.placing`) and written into it with the toolchain's `Rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from qdebug.encodings.model import Encodings
from qdebug.encodings.rules import DECLARED, Rules
from qdebug.encodings.source import Source
from qdebug.graph.model import Graph
from qdebug.vendors.advice import BetterRange, FloatLayer


@dataclass(frozen=True)
class Beside:
    """What is known beside a file that is read.

    Attributes:
        float_graph: that its entries speak of.
        second: a second table, as ``--qtable`` gives it.
        names: a file of the toolchain's own that is no ONNX model and tells names, as ``--names``
            gives it.
    """

    float_graph: Graph
    second: Source | None = None
    names: Source | None = None


@dataclass(frozen=True)
class Format:
    """One format in which a toolchain says how a network is quantized.

    Attributes:
        name: what ``--quant-format`` takes; no two formats share one.
        title: what such a file is, in words: ``TPU-MLIR calibration table``.
        recognize: whether a file is of this format, by its content.
        read: reads one. Raises ``EncodingsError`` where the content is unusable (``Source.fault``).
        rules: the arithmetic that goes with it, where it is not the toolchain's usual one.
    """

    name: str
    title: str
    recognize: Callable[[Source], bool]
    read: Callable[[Source, Beside], Encodings]
    rules: Rules | None = None


@dataclass(frozen=True)
class Change:
    """What shall be written in a toolchain's file.

    Names are those of the float model, or of the toolchain's own optimized graph where ``--names``
    gave that.

    Attributes:
        encodings: how the network is quantized, where that is known; entries are about tensors and
            weights.
        layers: all layers, in execution order: node, operator and tensor.
        keep: those of them to keep in float, or to give 16 bits.
        ranges: tensors that are to have another range.
        base: a file of the toolchain's own that is to be changed, where ``--names`` gave it.
        model: the quantized graph, where one was given.
        float_graph: the float model, where ``--float`` gave it.
    """

    encodings: Encodings
    layers: tuple[FloatLayer, ...]
    keep: tuple[FloatLayer, ...] = ()
    ranges: tuple[BetterRange, ...] = ()
    base: Source | None = None
    model: Graph | None = None
    float_graph: Graph | None = None

    def changed(self) -> Encodings:
        """The encodings after the change: tensors to keep get 16 bits over their own range."""
        ranges = {item.layer.tensor: (item.low, item.high) for item in self.ranges}
        wide = {layer.tensor for layer in self.keep}
        entries = []
        for entry in self.encodings.entries:
            encoding = entry.encoding
            eight = encoding.is_linear and encoding.bits < 16 and entry.kind == "tensor"
            if eight and (entry.name in ranges or entry.name in wide):
                span = ranges.get(entry.name) or encoding.quantizer(0).real_range
                encoding = encoding.over(*span, bits=16 if entry.name in wide else None)
            entries.append(replace(entry, encoding=encoding))
        return replace(self.encodings, entries=tuple(entries))

    def layer_of(self, tensor: str) -> FloatLayer | None:
        """The layer that makes a tensor; None for an input, or a tensor that is not known."""
        return next((layer for layer in self.layers if layer.tensor == tensor), None)


@dataclass(frozen=True)
class Written:
    """A file that was made.

    Attributes:
        content: its bytes.
        notes: what was left out and why, and what is to be done with the file.
    """

    content: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Writer:
    """One file that a toolchain can be given.

    Attributes:
        name: what ``--as`` takes; unique within the toolchain.
        title: what it is, in words.
        suffixes: of file names by which it is chosen: ``.json``, ``_cali_table``.
        write: makes it. Raises ``UsageError`` where the toolchain cannot be told this.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Change], Written]


@dataclass(frozen=True)
class Target:
    """What a toolchain can be told, and the arithmetic that it keeps to.

    Attributes:
        wide: what a tensor can be given instead of 8 bits, the usual one first: ``16``, ``float``.
        ranges: whether a file of its imposes ranges; otherwise its own calibration chooses them.
        symmetric: zero is the middle code of activations.
        unsigned: where no value is below zero, it is the lowest one instead.
        power_of_two: scales are powers of two.
        weights: scales that weights can be given: ``tensor``, ``channel``; empty where it rounds
            weights itself.
    """

    wide: tuple[str, ...]
    ranges: bool = True
    symmetric: bool = False
    unsigned: bool = False
    power_of_two: bool = False
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolchainEncodings:
    """All that a toolchain's folder tells of encodings.

    Attributes:
        formats: files that are read.
        writers: files that are written, the usual one first.
        rules: its arithmetic.
        operators: its own operators that stand for quantization in an ONNX graph; none is ONNX's.
        expand: replaces those by QuantizeLinear and DequantizeLinear; changes and returns the
            model it is given. Raises ``ModelError`` where an operator's arithmetic is not known.
        graph_title: what an ONNX graph with these operators is, in words.
        target: what it can be told; None where that is not known.
    """

    formats: Sequence[Format] = ()
    writers: Sequence[Writer] = ()
    rules: Rules = DECLARED
    operators: frozenset[str] = frozenset()
    expand: Callable[[onnx.ModelProto, Path], onnx.ModelProto] | None = None
    graph_title: str = ""
    target: Target | None = None
