"""Which layers' values are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.comparison.keep import KeptTensors
from qdebug.run.model import Finding, FindingStatus, Layer
from qdebug.run.store import MemoryWriter
from tests.support.synthetic import synthetic_run

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def layers() -> Sequence[Layer]:
    return synthetic_run(12, samples=2, kept=0).layers


def naming(index: int, status: FindingStatus) -> Finding:
    return Finding("QD999", "some", status, "error", "t", "s", "a", layers=(index,))


def kept(choice: str, layers: Sequence[Layer], findings: Sequence[Finding]) -> list[int]:
    """Indices that are marked; holds them against what was run again and written."""
    writer = MemoryWriter()
    asked: list[int] = []

    def recapture(
        positions: Sequence[int], receive: Callable[[int, int, str, Array], None]
    ) -> None:
        asked.extend(positions)
        for at in positions:
            for side in ("float", "quant"):
                receive(0, at, side, np.full((1, 2), at, np.float32))

    found = KeptTensors(writer, choice).finish(layers, findings, recapture)
    marked = [layer.index for layer in found if layer.kept]
    assert asked == marked
    return marked


def sqnr(layer: Layer) -> float:
    return layer.accumulated.sqnr_db if layer.accumulated else np.inf


def test_nothing_is_kept_unasked(layers: Sequence[Layer]) -> None:
    assert kept("none", layers, [naming(3, "fail")]) == []


def test_the_worst_have_the_lowest_sqnr(layers: Sequence[Layer]) -> None:
    chosen = kept("worst:3", layers, [])
    assert len(chosen) == 3
    others = [sqnr(layer) for layer in layers if layer.index not in chosen]
    compared = [sqnr(layers[at]) for at in chosen if layers[at].state == "ok"]
    assert all(value <= min(others) for value in compared)


def test_what_failed_findings_name_comes_first(layers: Sequence[Layer]) -> None:
    best = max(range(len(layers)), key=lambda at: sqnr(layers[at]))
    assert best not in kept("worst:2", layers, [])
    assert best in kept("worst:2", layers, [naming(best, "fail")])
    assert best in kept("worst:2", layers, [naming(best, "warn")])
    assert best not in kept("worst:2", layers, [naming(best, "info")])
