"""What is asked of layers' values, one tensor after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.capture.fetch import Array, Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.checks.facts.where import layers_where
from qdebug.graph.model import Graph
from tests.support.nets import NetBuilder


def _fetcher(rows: int) -> tuple[Fetcher, list[str]]:
    """Of ``x + 1`` and what it is as two by some rows, which fails for others."""
    b = NetBuilder(0)
    more = b.op("Add", b.input("x", [4]), b.const(1.0))
    shaped = b.op("Reshape", more, b.const([2, rows], dtype=np.int64))
    graph = Graph(b.model(more, shaped), Path("net.onnx"), "", is_made=True)
    return Fetcher(graph, SessionSettings(threads=1), at_once=1), [more, shaped]


def test_layers_that_share_a_tensor_are_asked_each() -> None:
    fetcher, (more, shaped) = _fetcher(2)
    feeds = {"x": np.arange(4, dtype=np.float32)}
    asked: list[tuple[int, int]] = []

    def holds(at: int, values: Array) -> bool:
        asked.append((at, values.ndim))
        return at != 5 and float(values.max()) == 4

    assert layers_where(fetcher, {2: more, 5: more, 7: shaped}, feeds, holds) == {2, 7}
    assert asked == [(2, 1), (5, 1), (7, 2)]


@pytest.mark.parametrize("rows", [2, 3])
def test_a_graph_that_cannot_be_run_to_the_end_says_nothing(rows: int) -> None:
    fetcher, names = _fetcher(rows)
    feeds = {"x": np.zeros(4, np.float32)}
    found = layers_where(fetcher, dict(enumerate(names)), feeds, lambda *_: True)
    assert found == ({0, 1} if rows == 2 else set())
