"""The reverse pass of a network, run on samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.segments import Segment, segmented
from qdebug.graph.model import Graph
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Receive = Callable[[str, Array | None, Array], None]
"""Is given a tensor, its value (None where values are not asked for) and its gradient; it must not
keep them."""
Shapes = tuple[tuple[str, tuple[int, ...]], ...]

_SHARE = 4
"""A segment's own tensors are at most this part of the memory allowed: with their gradients they
take twice as much, and the rest is for what crosses between segments. By judgement."""


@dataclass(frozen=True)
class _Opened:
    """The sessions for samples of one size."""

    forward: Session | None
    crossing: tuple[str, ...]
    segments: tuple[tuple[Segment, Session], ...]
    shapes: Mapping[str, tuple[int, ...]]


class ReverseRuns:
    """Gradients at tensors of a float graph, by running its reverse pass, segment by segment.

    Args:
        graph: the float graph.
        at: tensors to give the gradient of the loss by.
        outputs: tensors that the loss is a function of.
        settings: how to run it; always with all optimizations.
        max_memory: bytes of tensors held at once.
        values: whether the tensors' values are wanted too.
        seen: gives the part of an output's error that counts, told the output's name: an orthogonal
            projection, so what is fed back is projected alike.

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
        values: bool = True,
        seen: Callable[[str, Array], Array] = lambda _, error: error,
    ) -> None:
        self.graph, self.at, self.outputs = graph, list(dict.fromkeys(at)), list(outputs)
        self.settings, self.max_memory, self.values = settings.deployed, max_memory, values
        self.seen = seen
        self.unreached: dict[str, str] = {}
        self._opened: dict[Shapes, _Opened] = {}

    def run(
        self,
        feeds: Feeds,
        cotangents: Mapping[str, Array],
        receive: Receive,
        only: Collection[str] | None = None,
    ) -> dict[str, Array]:
        """Run once on a sample.

        Args:
            feeds: the model's inputs.
            cotangents: gradient of the loss by each output, of its shape; zero where left out.
            receive: is given each tensor that is reached.
            only: of the tensors asked for; None for all.

        Returns:
            The values that the loss is a function of.

        Raises:
            ModelError: ONNX Runtime cannot run the reverse pass.
        """
        opened = self._open(feeds)
        values: dict[str, Any] = dict(feeds)
        if opened.forward is not None:
            values.update(opened.forward.run(feeds, opened.crossing))
        back = {n: np.asarray(self.seen(n, v), np.float32) for n, v in cotangents.items()}
        wanted = set(self.at) - self.unreached.keys()
        wanted = wanted if only is None else wanted & set(only)
        shown: dict[str, Array] = {}
        for segment, session in reversed(opened.segments):
            if wanted or segment.shown:
                shown |= self._run(segment, session, opened.shapes, values, back, receive, wanted)
                wanted -= {*segment.made}
        for tensor in [t for t in self.at if t in wanted and t in feeds and t in back]:
            receive(tensor, feeds[tensor] if self.values else None, back[tensor])
        return shown

    def _run(
        self,
        segment: Segment,
        session: Session,
        shapes: Mapping[str, tuple[int, ...]],
        values: Mapping[str, Any],
        back: dict[str, Array],
        receive: Receive,
        wanted: Collection[str],
    ) -> dict[str, Array]:
        """One segment: its gradients are handed over, those by what it reads join ``back``."""
        reverse = segment.reverse
        given = {
            name: back.pop(tensor) if tensor in back else np.zeros(shapes[tensor], np.float32)
            for tensor, name in reverse.cotangents.items()
        }
        made = [t for t in segment.made if t in wanted]
        forward = [*segment.shown, *(made if self.values else ())]
        names = [reverse.gradients[t] for t in made]
        asked = dict.fromkeys([*forward, *names, *segment.back.values()])
        found = session.run({**values, **given}, list(asked)) if asked else {}
        for tensor, name in zip(made, names, strict=True):
            receive(tensor, found[tensor] if self.values else None, found[name])
        for tensor, name in segment.back.items():
            back[tensor] = found[name] + back[tensor] if tensor in back else found[name].copy()
        return {name: found[name].copy() for name in segment.shown}

    def _open(self, feeds: Feeds) -> _Opened:
        key: Shapes = tuple((name, np.shape(value)) for name, value in feeds.items())
        if key not in self._opened:
            self._opened.clear()  # samples of another size: one set of sessions is enough to hold
            self._opened[key] = self._built(feeds)
        return self._opened[key]

    def _built(self, feeds: Feeds) -> _Opened:
        types = types_for(self.graph, feeds, self.settings)
        most = self.max_memory // _SHARE
        cut = segmented(self.graph, types, self.at, self.outputs, most, forward=self.values)
        self.unreached = dict(cut.unreached)
        shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
        return _Opened(
            None if cut.forward is None else Session(cut.forward, self.graph, self.settings),
            cut.crossing,
            tuple((s, Session(s.reverse.model, self.graph, self.settings)) for s in cut.segments),
            shapes,
        )
