"""The board beside both models: from its dumps to each layer's numbers."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.board import BoardOutcome
from qdebug.board.matching import Matched, match_dumps
from qdebug.board.measure import BoardRun
from qdebug.board.merge import Ends, OfSample, merged
from qdebug.board.outcome import LEAST_INPUT_DB
from qdebug.capture.engine import Capture
from qdebug.capture.session import SessionSettings
from qdebug.comparison.board_replay import LayerReplay
from qdebug.comparison.reading import ends_of, scales_of
from qdebug.comparison.sides import Side, fed_alike
from qdebug.dumps import Dump
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pairing
from qdebug.preprocess import Sample
from qdebug.preprocess.check import check_picture
from qdebug.run.model import Layer
from qdebug.vendors.dumps import is_one_dump, is_runtime, read_dump

Array = npt.NDArray[Any]
_REPLAYED = 16
"""Dumps that layers are run again on, one session a layer: what a layer computes wrongly it does on
most inputs. By judgement."""
Rerun = Callable[[Sequence[int], Callable[[int, int, str, Array], None]], None]


@dataclasses.dataclass(frozen=True)
class Given:
    """What the options name.

    Attributes:
        dump: of ``--board``: a dump, or a folder with one a sample.
        again: of ``--board-again``, likewise.
        vendor: the toolchain it comes from; found out by default.
    """

    dump: Path
    again: Path | None = None
    vendor: str | None = None


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A dump whose tensors are known, and whose it is.

    Attributes:
        match: whose.
        dump: None for a runtime's model, which makes the dump when the sample comes.
        vendor: the toolchain, where it is known.
    """

    match: Matched
    dump: Dump | None
    vendor: str | None = None


class Board:
    """The dumps of the samples, one at a time.

    Args:
        given: what the options name.
        sides: float and quant.
        pairing: of the graphs.
        samples: what both models run on.
    """

    def __init__(
        self,
        given: Given,
        sides: tuple[Side, Side],
        pairing: Pairing,
        samples: Sequence[Sample],
    ) -> None:
        self._sides, self._pairing, self._samples = sides, pairing, samples
        graph, pairs = sides[0].graph, list(enumerate(pairing.pairs))
        self._output_positions = [at for at, p in pairs if p.float_tensor in graph.outputs]
        inputs = [at for at, p in pairs if p.float_tensor in graph.inputs]
        self._ends = Ends(inputs, self._output_positions)
        self._found: list[OfSample] = []
        self._run: BoardRun | None = None
        self._number = -1
        self._fed: Mapping[str, Array] = {}
        self._adopted: dict[str, int] = {}
        self._first_outputs: dict[str, Array] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="qdebug-runtime-")
        try:
            self._dumps, self._notes = self._open(given.dump, given.vendor)
            self._again: dict[int, _Opened] = {}
            self._replayed = _spread(sorted(self._dumps))
            if given.again is not None:
                self._again, notes = self._open(given.again, given.vendor)
                self._notes += tuple(f"--board-again: {note}" for note in notes)
        except BaseException:
            self._folder.cleanup()
            raise

    def _open(self, path: Path, vendor: str | None) -> tuple[dict[int, _Opened], tuple[str, ...]]:
        """The dumps by the number of their samples; their values are read later."""
        if is_runtime(path, vendor):
            by = "run" if len(self._samples) > 1 else "first"
            every = range(len(self._samples))
            return {at: _Opened(Matched(at, path, by), None, vendor) for at in every}, ()
        graph = self._sides[0].graph
        matching = match_dumps(
            path,
            [sample.name for sample in self._samples],
            lambda entry: [tensor.name for tensor in read_dump(entry, vendor).tensors],
            whole=is_one_dump(path, vendor),
        )
        found = {
            match.number: _Opened(match, _with_ends(read_dump(match.path, vendor), graph))
            for match in matching.dumps
        }
        return found, matching.notes

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._folder.cleanup()

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None
        for kept in Path(self._folder.name).iterdir():
            shutil.rmtree(kept, ignore_errors=True)

    def begin(self, number: int, fed: Mapping[str, Array]) -> None:
        """A sample comes: its dump is followed, if it has one.

        Args:
            number: of the sample.
            fed: what the float model is fed, for a runtime that is run here.

        Raises:
            QdebugError: the runtime cannot be run on it.
        """
        self._number, self._fed = number, fed
        opened = self._dumps.get(number)
        if opened is None:
            return
        dump, graph = self._dump(opened), self._sides[0].graph
        made = [graph.producer.get(pair.float_tensor) for pair in self._pairing.pairs]
        self._run = BoardRun(
            dump,
            self._pairing.pairs,
            [node.label if node is not None else "" for node in made],
            [node.op if node is not None else "" for node in made],
            scales_of(self._pairing),
            self._output_positions,
            ends_of(self._pairing),
        )
        tensors = {tensor.name: tensor for tensor in dump.tensors}
        known = {at: tensors[name] for name, at in self._adopted.items() if name in tensors}
        self._run.adopt(known)

    def _dump(self, opened: _Opened) -> Dump:
        """The dump, made now by a runtime's model; its tensors stay until the sample ends."""
        if opened.dump is not None:
            return opened.dump
        place = Path(tempfile.mkdtemp(dir=self._folder.name))
        made = read_dump(opened.match.path, opened.vendor, self._fed, place)
        return _with_ends(made, self._sides[0].graph)

    def receive(self, at: int, side: str, value: Array) -> None:
        """Take a captured value of the sample that began last."""
        if side == "quant":
            self._ends.in_model(self._number, at, value)
        if self._run is not None:
            self._run.receive(at, side, value)

    def end(self, capture: Capture, settings: SessionSettings, rerun: Rerun) -> None:
        """The sample's values all came: measure its dump.

        Args:
            capture: of the whole models, for the types of their tensors.
            settings: how layers of the simulation are run.
            rerun: runs some pairs of this sample once more, for those that only values told.
        """
        run = self._run
        if run is None:
            return
        by_values = run.positions_by_values()
        if by_values:
            run.adopt(by_values)
            rerun(sorted(by_values), lambda _, at, side, value: run.receive(at, side, value))
        self._adopted |= run.by_values
        graphs = self._sides[0].graph, self._sides[1].graph
        types = capture.float_types, capture.quant_types
        shared = self._shared_inputs()
        replay = LayerReplay(graphs, types, self._pairing.pairs, settings, shared)
        again = self._again.get(self._number)
        own = replay if self._number in self._replayed else None
        outcome = run.outcome(own, self._dump(again) if again is not None else None)
        outcome = dataclasses.replace(outcome, input_reason=self._input_reason(run, outcome))
        for at in self._ends.positions:
            value = run.stored(at)
            if value is not None:
                self._ends.in_dump(self._number, at, value)
        if self._number == 0:
            self._first_outputs = self._outputs_of(run)
        names = frozenset(tensor.name for tensor in run.dump.tensors)
        match = self._dumps[self._number].match
        self._found.append(OfSample(match, outcome, run.moments, names))
        self._close()

    def outcome(self) -> BoardOutcome:
        """All numbers of the board."""
        names = [sample.name for sample in self._samples]
        found = merged(self._found, self._ends, names)
        guessed = self._sides[0].preprocess.origin in ("assumed", "inferred")
        pictures = any(self._samples[number].picture is not None for number in self._dumps)
        notes = [*found.info.notes, *self._notes]
        if len(self._replayed) < len(self._dumps):
            some = f"{len(self._replayed)} of {len(self._dumps)} dumps, spread over them"
            notes.append(f"own error of the layers: measured on {some}")
        info = dataclasses.replace(found.info, notes=tuple(notes))
        return dataclasses.replace(found, info=info, guessed_input=guessed and pictures)

    def outputs(self) -> dict[str, Array]:
        """The first sample's outputs on the board by the float model's names, where dumped."""
        return self._first_outputs

    def _outputs_of(self, run: BoardRun) -> dict[str, Array]:
        return {
            self._pairing.pairs[at].float_tensor: np.array(value)
            for at in self._output_positions
            if (value := run.values(at)) is not None
        }

    def _input_reason(self, run: BoardRun, outcome: BoardOutcome) -> str:
        """What the check of the input says of the tensor that the board was fed, if another."""
        spec = self._sides[1].contract.spec
        picture = self._samples[self._number].picture
        inputs = self._sides[0].graph.inputs
        fed = [
            (at, value)
            for at in self._ends.positions
            if self._pairing.pairs[at].float_tensor in inputs
            and (value := run.values(at)) is not None
        ]
        if len(fed) != 1 or spec is None or picture is None or not _is_other(outcome, fed[0][0]):
            return ""
        try:
            findings = check_picture(picture, fed[0][1], spec, own_layout=False).findings
        except QdebugError:
            return ""
        return next((f"{f.title}: {f.seen}" for f in findings if f.status == "fail"), "")

    def _shared_inputs(self) -> dict[str, str]:
        if not fed_alike(*self._sides):
            return {}
        names = zip(self._sides[1].contract.inputs, self._sides[0].contract.inputs, strict=True)
        return {quant.name: float_.name for quant, float_ in names}


def _spread(numbers: Sequence[int]) -> frozenset[int]:
    """Samples on whose dumps the layers' own errors are measured."""
    if len(numbers) <= _REPLAYED:
        return frozenset(numbers)
    return frozenset(numbers[round(at)] for at in np.linspace(0, len(numbers) - 1, _REPLAYED))


def _is_other(outcome: BoardOutcome, at: int) -> bool:
    """Whether an input of the board is another than what the models were fed."""
    metrics = outcome.layers[at].against_quant
    return metrics is not None and metrics.sqnr_db < LEAST_INPUT_DB


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
