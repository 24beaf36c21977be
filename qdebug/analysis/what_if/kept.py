"""Tensors of the quant graph as it is, kept so that a run computes only what a change reaches.

Before a change everything is as in the quant graph itself, so one run of that keeps what lies
between, mostly 8-bit codes, and each change then runs the nodes behind it only. Most changes are
tried near the end of a network, so most is kept there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy.typing as npt
from onnx import TensorProto

from qdebug.analysis.what_if.cuts import spread_cuts
from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.rewrite import PartBuilder, constants_of
from qdebug.graph.walk import walk

Feeds = Mapping[str, npt.NDArray[Any]]
_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.UINT8: 1,
    TensorProto.INT8: 1,
    TensorProto.UINT16: 2,
    TensorProto.INT16: 2,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
    TensorProto.BOOL: 1,
}
"""Bytes of an element, of the types that are kept. Not float16: ONNX Runtime keeps more digits
between nodes, and a run that begins there would give something else than one of the whole graph."""


class KeptTensors:
    """What a graph's own run gives at the places where other runs may begin.

    Args:
        graph: the quant graph.
        settings: how it is run.
        feeds: its inputs, for each sample.
        budget: bytes that may be kept, of all samples together.
        aside: samples that are run at once.
    """

    def __init__(
        self,
        graph: Graph,
        settings: SessionSettings,
        feeds: Sequence[Feeds],
        budget: int,
        aside: int = 1,
    ) -> None:
        self.graph, self.settings, self.feeds = graph, settings, feeds
        self.budget, self.aside = budget, aside

    @cached_property
    def names(self) -> frozenset[str]:
        """The tensors that are kept: cuts all over the graph and the last ones, if they fit.

        Behind the last ones the most changes are tried, and they are the smallest.
        """
        types = types_for(self.graph, self.feeds[0], self.settings)
        left = self.budget // max(1, len(self.feeds))
        sizes = {name: _size(types[name]) for name in self._places(types)}
        chosen = set(spread_cuts(self.graph, types, sizes, left))
        left -= sum(sizes[name] for name in chosen)
        for name, size in sizes.items():
            if name not in chosen and size <= left:
                chosen.add(name)
                left -= size
        return frozenset(chosen)

    def open(self) -> None:
        """Open the session before it is needed.

        Raises:
            ModelError: ONNX Runtime cannot load the graph.
        """
        _ = self._session

    @cached_property
    def _session(self) -> Session | None:
        if not self.names:
            return None
        builder = PartBuilder(self.graph)
        builder.add_nodes(self.graph.nodes)
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        for name in sorted(self.names):
            builder.add_output(name)
        return Session(builder.build(), self.graph, self.settings)

    def values(self) -> list[dict[str, Any]]:
        """For each sample, arrays by tensor name; the session is closed after.

        Raises:
            ModelError: ONNX Runtime cannot run the graph.
        """
        session = self._session
        if session is None:
            return [{} for _ in self.feeds]
        with ThreadPoolExecutor(self.aside, "qdebug-what-if") as pool:
            found = list(pool.map(session.run, self.feeds))
        self.__dict__.pop("_session", None)
        return found

    def _places(self, types: Mapping[str, TensorType]) -> Iterable[str]:
        """Where a run may begin, the last first: codes rather than the real values beside them."""
        constant = constants_of(self.graph)
        for node in reversed(self.graph.nodes):
            for name in node.outputs:
                known = types.get(name)
                readers = self.graph.readers.get(name, ())
                only_codes = bool(readers) and all(r.op in QUANTIZE_OPS for r in readers)
                if not name or name in constant or only_codes or node.op in DEQUANTIZE_OPS:
                    continue
                if known is not None and known.fixed_shape and known.elem_type in _BYTES:
                    yield name


def reached_nodes(graph: Graph, tensors: Iterable[str]) -> set[int]:
    """Indices of the nodes that depend on one of the tensors."""

    def behind(tensor: str) -> list[str]:
        return [name for node in graph.readers.get(tensor, ()) for name in node.outputs if name]

    return {n.index for tensor in walk(tensors, behind) for n in graph.readers.get(tensor, ())}


def _size(known: TensorType) -> int:
    return math.prod(known.fixed_shape or ()) * _BYTES[known.elem_type]
