"""The board beside both models: from a dump to each layer's numbers."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qdebug.board import BoardOutcome, BoardRun
from qdebug.capture.engine import Capture
from qdebug.capture.session import SessionSettings
from qdebug.comparison.board_replay import LayerReplay
from qdebug.comparison.reading import scales_of
from qdebug.comparison.sides import Side, fed_alike
from qdebug.dumps import Dump
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph
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
        fed: what the float model is fed for the first sample, for a runtime that is run here.
    """

    def __init__(
        self,
        dump: Path,
        again: Path | None,
        vendor: str | None,
        sides: tuple[Side, Side],
        pairing: Pairing,
        fed: Mapping[str, Array],
    ) -> None:
        self._sides, self._pairing = sides, pairing
        self._folder = tempfile.TemporaryDirectory(prefix="qdebug-runtime-")
        try:
            self._open(dump, again, vendor, fed)
        except BaseException:
            self._folder.cleanup()
            raise

    def _open(
        self, dump: Path, again: Path | None, vendor: str | None, fed: Mapping[str, Array]
    ) -> None:
        sides, pairing = self._sides, self._pairing
        first, second = (Path(self._folder.name) / name for name in ("first", "second"))
        first.mkdir()
        second.mkdir()
        self._again: Dump | None = (
            read_dump(again, vendor, fed, second) if again is not None else None
        )
        graph = sides[0].graph
        made = [graph.producer.get(pair.float_tensor) for pair in pairing.pairs]
        self.run = BoardRun(
            _with_ends(read_dump(dump, vendor, fed, first), graph),
            pairing.pairs,
            [node.label if node is not None else "" for node in made],
            [node.op if node is not None else "" for node in made],
            scales_of(pairing),
            [at for at, pair in enumerate(pairing.pairs) if pair.float_tensor in graph.outputs],
            alone=graph.sha256 == sides[1].graph.sha256,
        )

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.run.close()
        self._folder.cleanup()

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
        guessed = self._sides[0].preprocess.origin in ("assumed", "inferred")
        return dataclasses.replace(
            found,
            input_reason=self._input_reason(sample),
            guessed_input=guessed and sample.picture is not None,
        )

    def outputs(self) -> dict[str, Array]:
        """The board's outputs by the float model's names, as far as they are dumped."""
        names = set(self._sides[0].graph.outputs)
        return {
            pair.float_tensor: value
            for at, pair in enumerate(self._pairing.pairs)
            if pair.float_tensor in names and (value := self.run.values(at)) is not None
        }

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


def _with_ends(dump: Dump, graph: Graph) -> Dump:
    """The dump with the float model's names for the ends of a runtime's network."""
    names = {"input": graph.inputs, "output": graph.outputs}
    return dataclasses.replace(
        dump,
        tensors=tuple(
            dataclasses.replace(t, says=names[t.end[0]][t.end[1]])
            if t.end is not None and t.end[1] < len(names[t.end[0]])
            else t
            for t in dump.tensors
        ),
    )


def with_board(layers: Sequence[Layer], outcome: BoardOutcome, *, alone: bool) -> list[Layer]:
    """The layers with their numbers on the board.

    Args:
        layers: of the comparison.
        outcome: the board's numbers.
        alone: there is no quantized model: what was accumulated is the board's error against float.
    """
    found = [dataclasses.replace(x, board=outcome.layers.get(x.index)) for x in layers]
    return list(map(_of_board, found)) if alone else found


def _of_board(layer: Layer) -> Layer:
    """A layer whose test side is the board."""
    on_board = layer.board
    bare = dataclasses.replace(
        layer, local=None, role=None, worst_channel=None, worst_channels=(), sample_sqnr_db=()
    )
    if on_board is None or on_board.against_float is None:
        reason = on_board.reason if on_board is not None else "the dump has no tensor of it"
        return dataclasses.replace(bare, accumulated=None, state="not_compared", reason=reason)
    return dataclasses.replace(bare, accumulated=on_board.against_float)
