"""Values of single tensors, on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.session import Session, SessionSettings
from qdebug.graph.model import Graph
from qdebug.graph.rewrite import PartBuilder

Array = npt.NDArray[Any]

CHUNK = 64
"""Tensors fetched in one run: bounds what is held at once."""


class Fetcher:
    """Runs a graph for the sake of a few of its tensors.

    Args:
        graph: the graph.
        settings: how to run it.
    """

    def __init__(self, graph: Graph, settings: SessionSettings) -> None:
        self.graph = graph
        self.settings = settings
        self._sessions: dict[tuple[str, ...], Session] = {}

    def values(self, tensors: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays by tensor name, in the graph's own form; copies that the caller may keep.

        Graph inputs and constants come as they are. What is not a numeric array is left out.

        Raises:
            ModelError: ONNX Runtime cannot run the graph.
        """
        found: dict[str, Array] = {}
        computed: list[str] = []
        for name in dict.fromkeys(tensors):
            if name in feeds:
                found[name] = np.asarray(feeds[name])
            elif name in self.graph.producer:
                computed.append(name)
        for chunk in _chunks(computed):
            values = self._session(tuple(chunk)).run(feeds)
            found.update({n: v.copy() for n, v in values.items() if isinstance(v, np.ndarray)})
        return found

    def _session(self, tensors: tuple[str, ...]) -> Session:
        if tensors not in self._sessions:
            builder = PartBuilder(self.graph)
            needed = self.graph.ancestors(tensors)
            builder.add_nodes(self.graph.nodes[index] for index in sorted(needed))
            for name in self.graph.inputs:
                known = self.graph.type_of(name)
                builder.add_input(name, known.elem_type, known.shape)
            for name in tensors:
                builder.add_output(name)
            self._sessions[tensors] = Session(builder.build(), self.graph, self.settings)
        return self._sessions[tensors]


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]
