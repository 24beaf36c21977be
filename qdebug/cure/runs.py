"""The reverse pass of a network, run on samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.segments import Beside, Segment, segmented
from qdebug.graph.model import Graph
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Receive = Callable[[str, Array, Array], None]
"""Is given a tensor, its value and its gradient; it must not keep them."""
Shapes = tuple[tuple[str, tuple[int, ...]], ...]

FEW = 6
"""Runs up to which a session is better not optimized. To optimize a reverse pass takes as long as
it saves in 3 runs (text detector), 5 (MobileNetV2), 10 (YOLOv5n) or never (YOLOX); layers by
themselves, in 4."""
_SHARE = 4
"""A segment's own tensors are at most this part of the memory allowed: with their gradients they
take twice as much, and the rest is for what crosses between segments. By judgement."""


@dataclass(frozen=True)
class Reached:
    """What one segment gives for one cotangent; none of it may be kept.

    Attributes:
        probe: number of the cotangent.
        made: tensors asked for that the segment makes.
        values: of the tensors known here: the model's inputs, those that crossed from earlier
            segments, and, with the first cotangent, those that the segment makes.
        shown: outputs of the loss that the segment makes; with the first cotangent.
        gradients: by tensor, as far as there are any.
    """

    probe: int
    made: tuple[str, ...]
    values: Mapping[str, Any]
    shown: Mapping[str, Array]
    gradients: Mapping[str, Array]


Visit = Callable[[Reached], None]


@dataclass(frozen=True)
class _Opened:
    """The sessions for samples of one size."""

    forward: Session | None
    crossing: tuple[str, ...]
    segments: tuple[tuple[Segment, Session | None], ...]
    shapes: Mapping[str, tuple[int, ...]]


class ReverseRuns:
    """Gradients at tensors of a float graph, by running its reverse pass, segment by segment.

    Args:
        graph: the float graph.
        at: tensors to give the gradient of the loss by.
        outputs: tensors that the loss is a function of.
        settings: how to run it; always with all optimizations, unless there are few runs.
        max_memory: bytes of tensors held at once.
        seen: gives the part of an output's error that counts, told the output's name: an orthogonal
            projection, so what is fed back is projected alike.
        beside: further tensors whose values are wanted where a segment's are.
        few: whether there will be no more than `FEW` runs.

    Attributes:
        unreached: tensor to one sentence that says why it has no gradient; filled by a run.
    """

    def __init__(
        self,
        graph: Graph,
        at: Collection[str],
        outputs: Sequence[str],
        settings: SessionSettings,
        max_memory: int = DEFAULT_MEMORY,
        *,
        seen: Callable[[str, Array], Array] = lambda _, error: error,
        beside: Beside = lambda _: (),
        few: bool = False,
    ) -> None:
        self.graph, self.at, self.outputs = graph, list(dict.fromkeys(at)), list(outputs)
        self.settings = replace(settings.deployed, short_lived=few)
        self.max_memory = max_memory
        self.seen, self.beside = seen, beside
        self.unreached: dict[str, str] = {}
        self._opened: dict[Shapes, _Opened] = {}

    def run(self, feeds: Feeds, cotangents: Mapping[str, Array], receive: Receive) -> None:
        """Run once on a sample.

        Args:
            feeds: the model's inputs.
            cotangents: gradient of the loss by each output, of its shape; zero where left out.
            receive: is given each tensor that is reached.

        Raises:
            ModelError: ONNX Runtime cannot run the reverse pass.
        """

        def visit(reached: Reached) -> None:
            for tensor, gradient in reached.gradients.items():
                receive(tensor, reached.values[tensor], gradient)

        self.walk(feeds, [cotangents], visit)

    def walk(self, feeds: Feeds, cotangents: Sequence[Mapping[str, Array]], visit: Visit) -> None:
        """Run on a sample for several losses, which share the forward pass.

        Args:
            feeds: the model's inputs.
            cotangents: for each loss its gradient by each output, as for `run`.
            visit: is told of each segment, the last one first, for each loss in turn.

        Raises:
            ModelError: ONNX Runtime cannot run the reverse pass.
        """
        opened = self._open(feeds)
        values: dict[str, Any] = dict(feeds)
        if opened.forward is not None:
            values.update(opened.forward.run(feeds, opened.crossing))
        backs = [
            {n: np.asarray(self.seen(n, v), np.float32) for n, v in of_loss.items()}
            for of_loss in cotangents
        ]
        wanted = set(self.at) - self.unreached.keys()
        for segment, session in reversed(opened.segments):
            if wanted or segment.shown:
                made = [t for t in segment.made if t in wanted]
                for probe, back in enumerate(backs):
                    visit(self._run(segment, session, opened.shapes, values, back, made, probe))
                wanted.difference_update(made)
        fed = tuple(t for t in self.at if t in wanted and t in feeds)
        for probe, back in enumerate(backs):
            gradients = {t: back[t] for t in fed if t in back}
            visit(Reached(probe, tuple(gradients), values, {}, gradients))

    def _run(
        self,
        segment: Segment,
        session: Session | None,
        shapes: Mapping[str, tuple[int, ...]],
        values: Mapping[str, Any],
        back: dict[str, Array],
        wanted: Sequence[str],
        probe: int,
    ) -> Reached:
        """One segment for one loss: the gradients by what it reads join ``back``."""
        reverse = segment.reverse
        given = {
            name: back.pop(tensor) if tensor in back else np.zeros(shapes[tensor], np.float32)
            for tensor, name in reverse.cotangents.items()
        }
        forward = [*segment.shown, *segment.made] if probe == 0 else []
        names = {t: reverse.gradients[t] for t in wanted}
        asked = dict.fromkeys([*forward, *names.values(), *segment.back.values()])
        found = session.run({**values, **given}, list(asked)) if session and asked else {}
        for tensor, name in segment.back.items():
            back[tensor] = found[name] + back[tensor] if tensor in back else found[name].copy()
        return Reached(
            probe,
            segment.made,
            {**values, **{t: found[t] for t in forward}},
            {t: found[t] for t in segment.shown if t in found},
            {t: found[name] for t, name in names.items()},
        )

    def close(self) -> None:
        """Release the sessions."""
        self._opened.clear()

    def _open(self, feeds: Feeds) -> _Opened:
        key: Shapes = tuple((name, np.shape(value)) for name, value in feeds.items())
        if key not in self._opened:
            self._opened.clear()  # samples of another size: one set of sessions is enough to hold
            self._opened[key] = self._built(feeds)
        return self._opened[key]

    def _built(self, feeds: Feeds) -> _Opened:
        types = types_for(self.graph, feeds, self.settings)
        most = self.max_memory // _SHARE
        cut = segmented(self.graph, types, self.at, self.outputs, most, self.beside)
        self.unreached = dict(cut.unreached)
        shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
        return _Opened(
            None if cut.forward is None else Session(cut.forward, self.graph, self.settings),
            cut.crossing,
            tuple((s, self._session(s)) for s in cut.segments),
            shapes,
        )

    def _session(self, segment: Segment) -> Session | None:
        """None where nothing of a segment is wanted: ONNX Runtime opens no empty model."""
        model = segment.reverse.model
        return Session(model, self.graph, self.settings) if model.graph.output else None
