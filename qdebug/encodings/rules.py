"""A toolchain's arithmetic, as far as a graph of QuantizeLinear and DequantizeLinear can say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from qdebug.encodings.model import Encodings
from qdebug.encodings.weights import Rounding, WeightRule
from qdebug.graph.model import Graph


@dataclass(frozen=True)
class Rules:
    """What a toolchain does with a network besides what its file says.

    Attributes:
        simplify: it folds constants, BatchNormalization and factors into products first, so that
            the float graph is taken as ONNX Runtime's basic optimizations leave it.
        weights: how it quantizes a weight without an entry; None leaves such weights float.
        rounding: how it rounds weights that have one.
        integer_bias: whether a bias without an entry becomes int32 at ``scale_in * scale_weight``.
        fuses: activations that it computes together with what is before them: the tensor between
            the two is never written, so an entry for it is not used.
        spelled: how it names the output of a node: of a tensor and its operator, the names in use.
        suffixes: regular expressions of what it appends to a tensor's name.
        rewrite: what it changes in the float graph before it quantizes; gives the changed model.
        drop: entries that it ignores: of the graph, the tensors with entries and the labels of the
            nodes in float, tensor to reason.
        made: what it makes itself when it rewrites the graph: regular expression of such a name to
            the reason why the float model has no place for it.
        rest: what it does with a tensor that has no entry.
        notes: what the twin cannot show, one sentence each.
    """

    simplify: bool = False
    weights: WeightRule | None = None
    rounding: Rounding = "even"
    integer_bias: bool = False
    fuses: frozenset[str] = frozenset()
    spelled: Callable[[str, str], Iterable[str]] | None = None
    suffixes: Sequence[str] = ()
    rewrite: Callable[[onnx.ModelProto, Encodings], onnx.ModelProto] | None = None
    drop: Callable[[Graph, frozenset[str], frozenset[str]], Mapping[str, str]] | None = None
    made: Mapping[str, str] = field(default_factory=dict)
    rest: str = "stays float"
    notes: tuple[str, ...] = ()


DECLARED = Rules()
"""Nothing but what the encodings say."""
