"""Keeping the values of layers in the run: all of them, or those of the worst."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import numpy.typing as npt

from qdebug.run.model import Finding, Layer
from qdebug.run.store import MemoryWriter, RunWriter, tensor_file
from qdebug.vocabulary.states import BROKEN

Array = npt.NDArray[Any]
Recapture = Callable[[Sequence[int], Callable[[int, int, str, Array], None]], None]
"""Runs some layers once more: their positions, and what receives sample, position, side, value."""


class KeptTensors:
    """Writes captured values into the run.

    Args:
        writer: of the run.
        choice: ``none``, ``all`` or ``worst:N``.
    """

    def __init__(self, writer: RunWriter | MemoryWriter, choice: str) -> None:
        self._writer = writer
        self._all = choice == "all"
        self._worst = int(choice.partition(":")[2]) if choice.startswith("worst:") else 0

    def add(self, sample: int, layer: int, side: str, value: Array) -> None:
        """Write a value if all are to be kept."""
        if self._all:
            self._write(sample, layer, side, value)

    def finish(
        self, layers: Sequence[Layer], findings: Sequence[Finding], recapture: Recapture
    ) -> list[Layer]:
        """Write the worst layers' values where that was asked for, and mark what is kept.

        The worst are those that failed findings and warnings name, then those of the largest
        accumulated error. That is known only now, so those few are run once more.
        """
        named = {index for f in findings if f.status in ("fail", "warn") for index in f.layers}
        kept = self._chosen(layers, named)
        if self._worst and kept:
            recapture(sorted(kept), self._write)
        return [dataclasses.replace(x, kept=True) if x.index in kept else x for x in layers]

    def _chosen(self, layers: Sequence[Layer], named: AbstractSet[int]) -> set[int]:
        compared = [layer for layer in layers if layer.state != "not_compared"]
        if self._all:
            return {layer.index for layer in compared}
        worst = sorted(compared, key=lambda x: (x.index not in named, _badness(x)))
        return {layer.index for layer in worst[: self._worst]}

    def _write(self, sample: int, layer: int, side: str, value: Array) -> None:
        which: Literal["float", "quant"] = "float" if side == "float" else "quant"
        self._writer.add_array(tensor_file(which, layer, sample), value)


def _badness(layer: Layer) -> tuple[bool, float, int]:
    """Sort key, worst layers first."""
    sqnr = layer.accumulated.sqnr_db if layer.accumulated else math.nan
    return layer.state not in BROKEN, -math.inf if math.isnan(sqnr) else sqnr, layer.index
