"""Comparing a dump with both runs while their tensors stream by.

A value of the dump is read when the simulation's value of the same layer comes, brought into its
shape, and put aside in a temporary file: at the end each layer of the simulation is fed with the
board's own inputs.
"""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.board.layouts import ALIKE, Fit, fit_dump, grid_step, sizes_of
from qdebug.board.names import Named, map_names
from qdebug.board.outcome import BoardOutcome
from qdebug.board.values import BY_VALUES, SAME, LayerValues, Owner, sizes_in
from qdebug.capture.state import error_metrics
from qdebug.dumps import Dump, DumpTensor
from qdebug.graph.pairs import Pair
from qdebug.metrics.moments import Moments, measure
from qdebug.run.board_results import BoardInfo, BoardLayer

Array = npt.NDArray[Any]
Own = Callable[[int, Mapping[int, Array]], Array | None]
"""The simulated layer at a position, fed with the board's values of others; None where it cannot
be."""

_FEWEST = 16
"""Values from which on a line goes through them."""
_LEAVES_STEPS, _LEAVES_DB = 0.5, 40.0
"""Where the board is so near to the simulation, in steps (root mean square) or without a quantizer
in dB, a layer is not run again: half a step is what rounding alone makes of other inputs."""
_LEAVES_GAIN = 0.005
"""Nor one whose values are larger or smaller by no more than this share: half of what a rescale by
a multiplier of 7 bits costs (TPU-MLIR's Add, up to 1 %)."""
_MASK = 1e3
"""Values so many times the median are a mask's (-1e4 to -FLT_MAX in attention): where the board has
them too, they are left out, for beside them no error of the others shows. By judgement."""
_MOST_REPLAYED = 200
"""Layers run again, the first ones: behind so many that differ, the source is among them."""
_SURE = 6.0
"""Standard deviations from which on a factor is no noise, over thousands of layers."""


@dataclass
class _Held:
    """A layer that was found in the dump."""

    named: Named
    fit: Fit
    against_quant: Moments
    against_float: Moments
    unmasked: Moments
    """Against the simulation, without what a mask sets."""
    step: float | None
    nonfinite: int


class BoardRun:
    """Follows one dump through the run of its sample.

    Args:
        dump: of the first sample.
        pairs: all pairs, by position.
        labels: name of the float node that makes each.
        ops: its operator.
        scales: scale and zero point of each pair's quantizer, where it has one for all channels.
        outputs: positions of the model's outputs.
        ends: least and greatest value that each such quantizer holds.
    """

    def __init__(
        self,
        dump: Dump,
        pairs: Sequence[Pair],
        labels: Sequence[str],
        ops: Sequence[str],
        scales: Mapping[int, tuple[float, int]],
        outputs: Sequence[int] = (),
        ends: Mapping[int, tuple[float, float]] = MappingProxyType({}),
    ) -> None:
        self.dump = dump
        self._outputs = {at: np.zeros(0, np.float32) for at in outputs}
        self._scales, self._ends = scales, ends
        named, self._reasons = map_names(dump, pairs, labels, ops)
        self._named = {item.at: item for item in named}
        self._labels = labels
        self._floats: dict[int, Array] = {}
        self._held: dict[int, _Held] = {}
        self._misfits: dict[int, str] = {}
        self._nameless = [
            tensor
            for tensor in dump.tensors
            if tensor.name in self._reasons and not dump.why_made(tensor.name)
        ]
        self._sizes: set[int] = set()
        self._values = LayerValues()
        self._one_at_a_time = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="qdebug-board-")

    def close(self) -> None:
        """Remove the temporary files."""
        self._folder.cleanup()

    def receive(self, at: int, side: str, value: Array) -> None:
        """Take a captured value of the dump's sample; the float one comes first or second.

        Several threads may call: one tensor of the dump is held at a time, and the headers of
        ``.npy`` files are parsed one after the other: CPython 3.11 cannot in threads.
        """
        with self._one_at_a_time:
            self._receive(at, side, value)

    def _receive(self, at: int, side: str, value: Array) -> None:
        if side == "float":
            self._floats[at] = value.copy()
            return
        reference = self._floats.pop(at, None)
        if reference is None:
            return
        if at in self._outputs:
            self._outputs[at] = value.copy()
        if at in self._named:
            self._compare(self._named[at], reference, value)
        else:
            self._keep(at, value)

    def positions_by_values(self) -> dict[int, DumpTensor]:
        """Layers that only the values told, to be run once more; see ``adopt``.

        Where layers hold the same (Flatten, Reshape), the tensors of the dump are theirs in turn.
        """
        found: dict[int, tuple[Owner, DumpTensor]] = {}
        for tensor in self._nameless:
            if tensor.name not in self._reasons:
                continue
            owners = self._values.owners(tensor.read())
            if owners is None:
                continue
            if not owners:
                self._reasons[tensor.name] = "its values fit no layer, or several"
                continue
            owner = next((x for x in owners if x.at not in found), owners[0])
            known = found.get(owner.at)
            if known is not None:
                worse = tensor if owner.likeness - known[0].likeness < SAME else known[1]
                self._reasons[worse.name] = "its values are those of a layer that has a tensor"
                if worse is tensor:
                    continue
            found[owner.at] = owner, tensor
        return {at: tensor for at, (_, tensor) in found.items()}

    def adopt(self, found: Mapping[int, DumpTensor]) -> None:
        """Take the layers that the values told."""
        for at, tensor in found.items():
            self._named[at] = Named(tensor, at, "values")
            self._reasons.pop(tensor.name, None)

    def values(self, at: int) -> Array | None:
        """The board's value of a layer, float32 in the float model's layout.

        None where it is not in the dump, or in codes of a scale that was fitted to the simulation:
        what the two differ by is gone then.
        """
        held = self._held.get(at)
        return None if held is None or held.fit.scale_from == "fitted" else self.stored(at)

    def stored(self, at: int) -> Array | None:
        """The same with whatever scale was found."""
        if at not in self._held:
            return None
        return np.asarray(np.load(self._file(at), mmap_mode="r"))

    @property
    def moments(self) -> dict[int, tuple[Moments, Moments]]:
        """Of the board against the simulation, and against float, by position."""
        return {at: (x.against_quant, x.against_float) for at, x in self._held.items()}

    @property
    def by_values(self) -> dict[str, int]:
        """Position of the dump's tensors that only values told."""
        return {x.tensor.name: at for at, x in self._named.items() if x.by == "values"}

    @property
    def compared(self) -> tuple[int, ...]:
        """Positions of the layers that were compared."""
        return tuple(sorted(self._held))

    def outcome(self, own: Own | None, again: Dump | None = None) -> BoardOutcome:
        """All numbers.

        Args:
            own: runs one layer of the simulation; None where no layer's own error is asked for.
            again: a second dump of the same input.
        """
        layers: dict[int, BoardLayer] = {}
        for at in range(len(self._labels)):
            layers[at] = self._layer(at)
        left = self._leaving()
        if own is not None:
            for at in left:
                layers[at] = replace(layers[at], **self._own(at, own))
        info = BoardInfo(
            self.dump.name,
            self.dump.title,
            len(self.dump.tensors),
            len(self._held),
            tuple(sorted(self._reasons.items())),
            notes=self.dump.notes,
        )
        steps = {at: scale for at, (scale, _) in self._scales.items()}
        return BoardOutcome(
            info, layers, steps, self._differences(again), frozenset(left), self._exchanged()
        )

    def _exchanged(self) -> dict[int, int]:
        """Outputs that hold another output's values: the position of that one by position."""
        found = {}
        for at, held in self._held.items():
            if at not in self._outputs or held.fit.likeness >= ALIKE:
                continue
            for other, value in self._outputs.items():
                fit = fit_dump(held.named.tensor.read(), value) if other != at else None
                if fit is not None and fit.likeness >= BY_VALUES:
                    found[at] = other
        return found

    def _leaving(self) -> list[int]:
        """Layers at which the board is another than the simulation, in execution order.

        A layer that computes something else is among them: it would have to undo the difference
        of its inputs otherwise. Fed with its own inputs, each costs a session.
        """
        found = []
        for at in self.compared:
            metrics = error_metrics(self._held[at].unmasked)
            step = self._scales.get(at)
            far = math.sqrt(metrics.mse) > _LEAVES_STEPS * step[0] if step else None
            total = self._held[at].unmasked.total()
            scaled = abs(float(total.fe[0])) > _LEAVES_GAIN * float(total.ff[0])
            lost = self._held[at].nonfinite > 0
            if far or scaled or lost or (far is None and not metrics.sqnr_db >= _LEAVES_DB):
                found.append(at)
        return found[:_MOST_REPLAYED]

    def _file(self, at: int) -> Path:
        return Path(self._folder.name) / f"{at:06d}.npy"

    def _known(self, at: int, tensor: DumpTensor) -> list[tuple[str, float, int]]:
        known = []
        if tensor.scale is not None:
            known.append(("dump", tensor.scale, tensor.zero_point))
        if at in self._scales:
            known.append(("quantizer", *self._scales[at]))
        return known

    def _compare(self, named: Named, reference: Array, test: Array) -> None:
        dumped = named.tensor.read()
        fit = fit_dump(dumped, test, self._known(named.at, named.tensor))
        if fit is None:
            told = "x".join(map(str, dumped.shape))
            self._misfits[named.at] = f"{named.tensor.name} has the shape {told}"
            return
        float_fit = fit if fit.likeness >= ALIKE else fit_dump(dumped, reference)
        if float_fit is not None and float_fit.likeness > fit.likeness:
            fit = float_fit
        values = np.ascontiguousarray(fit.values, np.float32)
        np.save(self._file(named.at), values)
        board = values.reshape(-1)
        quant, float_ = (
            np.ascontiguousarray(side, np.float32).reshape(-1) for side in (test, reference)
        )
        against_quant, against_float = measure(quant, board), measure(float_, board)
        masked = _masked(quant, board)
        unmasked = measure(quant[~masked], board[~masked]) if masked.any() else against_quant
        step = fit.scale if fit.coded else grid_step(values)
        kept = replace(fit, values=values[:0])
        lost = _nonfinite(quant, board)
        sums = against_quant, against_float, unmasked
        self._held[named.at] = _Held(named, kept, *sums, step, lost)

    def _keep(self, at: int, value: Array) -> None:
        """Keep some values of a layer without a tensor, if a nameless one has its size."""
        if self._nameless and not self._sizes:
            self._sizes = {size for x in self._nameless for size in sizes_in(x.read())}
        if self._sizes & sizes_of(value.shape):
            self._values.add(at, value)

    def _layer(self, at: int) -> BoardLayer:
        held = self._held.get(at)
        if held is None:
            if at in self._misfits:
                return BoardLayer("no_shape", self._misfits[at], self._named[at].tensor.name)
            if self._labels[at] in self.dump.fused:
                return BoardLayer("fused", "the toolchain computes it with its consumer")
            return BoardLayer("not_dumped", "the dump has no tensor of it")
        return BoardLayer(
            state="compared" if held.fit.likeness >= ALIKE else "not_alike",
            reason="" if held.fit.likeness >= ALIKE else "its values are not alike this layer's",
            tensor=held.named.tensor.name,
            mapped_by=held.named.by,
            layout=held.fit.layout,
            scale=held.fit.scale,
            scale_from=held.fit.scale_from,
            nonfinite=held.nonfinite,
            step=held.step,
            likeness=held.fit.likeness,
            against_quant=error_metrics(held.against_quant),
            against_float=error_metrics(held.against_float),
        )

    def _own(self, at: int, own: Own) -> dict[str, Any]:
        found = {i: value for i in self.compared if (value := self.values(i)) is not None}
        simulated = own(at, found)
        board = self.values(at)
        if simulated is None or board is None or simulated.size != board.size:
            return {}
        one = np.ascontiguousarray(simulated, np.float32).reshape(-1)
        two = np.ascontiguousarray(board).reshape(-1)
        lost = _nonfinite(one, two)
        kept = np.isfinite(one) & np.isfinite(two) & ~_masked(one, two)
        if not kept.any():
            return {"own_nonfinite": lost}
        one, two = one[kept], self._as_read(at, two[kept])
        moments = measure(one, two)
        metrics = error_metrics(moments)
        step = self._step(at)
        total = moments.total()
        count = max(float(total.n[0]), 1.0)
        gain, reach = _gain(one, two)
        return {
            "own_nonfinite": lost,
            "own": metrics,
            "own_steps": float(np.sqrt(metrics.mse)) / step if step else None,
            "own_gain": gain,
            "own_gain_steps": abs(gain - 1) * reach / step if gain is not None and step else None,
            "own_offset_steps": float(total.e[0]) / count / step if step else None,
        }

    def _as_read(self, at: int, board: Array) -> Array:
        """The board's values as their readers see them.

        Values on no grid were dumped before the quantizer, whose ends the simulation's are cut at.
        """
        if self._held[at].step is not None or at not in self._ends:
            return board
        return np.clip(board, *self._ends[at])

    def _step(self, at: int) -> float | None:
        """Step that a layer's own difference is told in: the board's, where only it has a grid.

        What is rounded on the board and not in the simulation differs by that.
        """
        known = self._scales.get(at)
        return known[0] if known else self._held[at].step

    def _differences(self, again: Dump | None) -> dict[int, float]:
        """Largest difference between two dumps of one input, by position."""
        if again is None:
            return {}
        second = {tensor.name: tensor for tensor in again.tensors}
        found = {}
        for at, held in self._held.items():
            twin = second.get(held.named.tensor.name)
            if twin is not None:
                one, two = held.named.tensor.read(), twin.read()
                same = one.shape == two.shape
                found[at] = float(np.max(np.abs(one.astype(np.float64) - two))) if same else np.inf
        return found


def _nonfinite(simulated: Array, board: Array) -> int:
    """Values that are NaN or infinite on the board alone."""
    return int(np.count_nonzero(np.isfinite(simulated) & ~np.isfinite(board)))


def _masked(simulated: Array, board: Array) -> npt.NDArray[np.bool_]:
    """Where both hold the same value that a mask sets."""
    sizes = np.abs(simulated)
    usual = float(np.median(sizes)) if sizes.size else 0.0
    if usual == 0 or float(sizes.max()) <= _MASK * usual:
        return np.zeros(simulated.shape, bool)
    return np.asarray((sizes > _MASK * usual) & np.isclose(simulated, board, rtol=1e-3, atol=0))


def _gain(simulated: Array, board: Array) -> tuple[float | None, float]:
    """Slope of the line through both results, and how far from the mean the values reach.

    The slope is None where noise alone could have made it.

    With an offset of its own, and without the ends of the range: rounding down moves all values
    but those that are clipped, and would look like a factor otherwise.
    """
    inside = (simulated > simulated.min()) & (simulated < simulated.max())
    inside &= np.isfinite(simulated) & np.isfinite(board)
    one, two = simulated[inside].astype(np.float64), board[inside].astype(np.float64)
    if len(one) < _FEWEST or one.min() == one.max():  # any slope goes through one value
        return None, 0.0
    one, two = one - one.mean(), two - two.mean()
    power = float(one @ one)
    slope = float(one @ two) / power
    rest = two - slope * one
    deviation = math.sqrt(float(rest @ rest) / len(one) / power)
    return slope if abs(slope - 1) > _SURE * deviation else None, float(np.max(np.abs(one)))
