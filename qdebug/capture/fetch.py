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
CALLS = 2
"""Calls whose sessions are kept, for further samples: by judgement, as many as go on at once."""


class Fetcher:
    """Runs a graph for the sake of a few of its tensors.

    Args:
        graph: the graph.
        settings: how to run it.
        at_once: tensors fetched in one run. Each run takes a session with all nodes that its
            tensors need.
    """

    def __init__(self, graph: Graph, settings: SessionSettings, at_once: int = CHUNK) -> None:
        self.graph, self.settings, self.at_once = graph, settings, at_once
        self._sessions: dict[tuple[str, ...], dict[tuple[str, ...], Session]] = {}

    def values(self, tensors: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays by tensor name, in the graph's own form; copies that the caller may keep.

        Graph inputs and constants come as they are. What is not a numeric array is left out.

        Raises:
            ModelError: ONNX Runtime cannot run the graph.
        """
        return {n: v if n in feeds else v.copy() for n, v in self.each(tensors, feeds)}

    def each(
        self, tensors: Sequence[str], feeds: Mapping[str, Array]
    ) -> Iterator[tuple[str, Array]]:
        """What ``values`` gives, one name and array after the other; no copies.

        An array is valid until the next is asked for: those of one run are held at a time.

        Raises:
            ModelError: ONNX Runtime cannot run the graph.
        """
        names = dict.fromkeys(tensors)
        yield from ((n, np.asarray(feeds[n])) for n in names if n in feeds)
        wanted = [n for n in names if n not in feeds and n in self.graph.producer]
        sessions = self._sessions_of(tuple(wanted))
        for start in range(0, len(wanted), self.at_once):
            chunk = tuple(wanted[start : start + self.at_once])
            if chunk not in sessions:
                sessions[chunk] = self._open(chunk)
            values = sessions[chunk].run(feeds)
            yield from ((n, v) for n, v in values.items() if isinstance(v, np.ndarray))
            del values  # before the next run

    def _sessions_of(self, tensors: tuple[str, ...]) -> dict[tuple[str, ...], Session]:
        """Those of one call; those of the oldest call are given up for it."""
        found = self._sessions.get(tensors)
        if found is None:
            for oldest in list(self._sessions)[: 1 - CALLS]:
                self._sessions.pop(oldest, None)
            found = self._sessions[tensors] = {}
        return found

    def _open(self, tensors: tuple[str, ...]) -> Session:
        builder = PartBuilder(self.graph)
        needed = self.graph.ancestors(tensors)
        builder.add_nodes(self.graph.nodes[index] for index in sorted(needed))
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        for name in tensors:
            builder.add_output(name)
        return Session(builder.build(), self.graph, self.settings)
