"""The board beside both models: from a dump to each layer's numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.board import BoardOutcome, BoardRun
from qdebug.capture.engine import Capture
from qdebug.capture.session import SessionSettings
from qdebug.comparison.board_replay import LayerReplay
from qdebug.comparison.sides import Side, fed_alike
from qdebug.dumps import Dump
from qdebug.errors import QdebugError
from qdebug.graph.pairs import Pairing
from qdebug.preprocess import Sample
from qdebug.preprocess.check import check_picture
from qdebug.run.model import Layer
from qdebug.vendors.dumps import read_dump

Array = npt.NDArray[Any]
Rerun = Callable[[Sequence[int], Callable[[int, int, str, Array], None]], None]


class Board:
    """The dump of the first sample, and perhaps a second one of the same input.

    Args:
        dump: what ``--board`` names.
        again: what ``--board-again`` names.
        vendor: the toolchain it comes from; found out by default.
        sides: float and quant.
        pairing: of the graphs.
    """

    def __init__(
        self,
        dump: Path,
        again: Path | None,
        vendor: str | None,
        sides: tuple[Side, Side],
        pairing: Pairing,
    ) -> None:
        self._sides, self._pairing = sides, pairing
        self._again: Dump | None = read_dump(again, vendor) if again is not None else None
        graph = sides[0].graph
        made = [graph.producer.get(pair.float_tensor) for pair in pairing.pairs]
        self.run = BoardRun(
            read_dump(dump, vendor),
            pairing.pairs,
            [node.label if node is not None else "" for node in made],
            [node.op if node is not None else "" for node in made],
            _scales(pairing),
            [at for at, pair in enumerate(pairing.pairs) if pair.float_tensor in graph.outputs],
        )

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.run.close()

    def receive(self, number: int, at: int, side: str, value: Array) -> None:
        """Take a captured value, if it is of the sample that was dumped: the first."""
        if number == 0:
            self.run.receive(at, side, value)

    def finish(
        self,
        capture: Capture,
        sample: Sample,
        settings: SessionSettings,
        rerun: Rerun,
    ) -> BoardOutcome:
        """All numbers of the board.

        Args:
            capture: of the whole models, for the types of their tensors.
            sample: the first one, which was dumped.
            settings: how layers of the simulation are run.
            rerun: runs some pairs once more, for those that only values told.
        """
        by_values = self.run.positions_by_values()
        if by_values:
            self.run.adopt(by_values)
            rerun(sorted(by_values), self.receive)
        graphs = self._sides[0].graph, self._sides[1].graph
        replay = LayerReplay(
            graphs,
            (capture.float_types, capture.quant_types),
            self._pairing.pairs,
            settings,
            self._shared_inputs(),
        )
        found = self.run.outcome(replay, self._again)
        return dataclasses.replace(found, input_reason=self._input_reason(sample))

    def _input_reason(self, sample: Sample) -> str:
        """What the check of the input says of the tensor that the board was fed."""
        spec = self._sides[1].contract.spec
        inputs = self._sides[0].graph.inputs
        fed = [
            value
            for at, pair in enumerate(self._pairing.pairs)
            if pair.float_tensor in inputs and (value := self.run.values(at)) is not None
        ]
        if len(fed) != 1 or spec is None or sample.picture is None:
            return ""
        try:
            findings = check_picture(sample.picture, fed[0], spec, own_layout=False).findings
        except QdebugError:
            return ""
        return next((f"{f.title}: {f.seen}" for f in findings if f.status == "fail"), "")

    def _shared_inputs(self) -> dict[str, str]:
        if not fed_alike(*self._sides):
            return {}
        names = zip(self._sides[1].contract.inputs, self._sides[0].contract.inputs, strict=True)
        return {quant.name: float_.name for quant, float_ in names}


def with_board(layers: Sequence[Layer], outcome: BoardOutcome) -> list[Layer]:
    """The layers with their numbers on the board."""
    return [dataclasses.replace(x, board=outcome.layers.get(x.index)) for x in layers]


def _scales(pairing: Pairing) -> dict[int, tuple[float, int]]:
    """Step and zero point of the pairs whose quantizer has one for all channels."""
    found = {}
    for at, pair in enumerate(pairing.pairs):
        quantizer = pair.quantizer
        if quantizer is not None and np.size(quantizer.scale) == 1:
            zero_point = quantizer.zero_point
            zero = int(np.reshape(zero_point, -1)[0]) if zero_point is not None else 0
            found[at] = (float(np.reshape(quantizer.scale, -1)[0]), zero)
    return found
