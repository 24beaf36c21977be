"""The float model, asked about the user's pictures under one pipeline after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import OutputFacts, Task, choose_task, prior_constants
from qdebug.analysis.tasks.stability import changed, surviving
from qdebug.capture.session import Session, SessionSettings
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph
from qdebug.graph.multiplications import multiplications
from qdebug.graph.shapes import infer_types
from qdebug.preprocess import ModelInput, PreprocessSpec, prepare_file

Array = npt.NDArray[Any]

MOST_PICTURES = 3
"""Pictures that the float model is asked about; each costs two runs for every candidate that the
first one leaves. All in all at most 52 runs: 4 to see the head, 14 on the first picture, 28 on the
others, 6 of twice the values."""
_BUDGET = 60e9
"""Multiplications that all runs may take: 3 to 4 s on one core, where YOLOv5n's 2.2 billion take
0.13 s."""
_FIRST, _OTHER = 18, 8
"""Runs for the first picture at most; for another one, where the first leaves three candidates."""


class FloatAnswers:
    """Asks the float model about pictures.

    Args:
        graph: the float model.
        item: its picture input, of the size that is fed.
        files: pictures; the first few are used.

    Attributes:
        task: what it does; None where its head is not recognized.
        ran: whether it takes what it is fed.
    """

    def __init__(self, graph: Graph, item: ModelInput, files: Sequence[Path]) -> None:
        self._graph, self._item = graph, item
        self._files = files[: _pictures(graph, item)]
        self._known: dict[str, dict[Path, float]] = {}
        self.task: Task | None = None
        self.ran = False

    def recognize(self, specs: Sequence[PreprocessSpec]) -> None:
        """Look for the head under several pipelines, since none is known to be right."""
        for spec in specs if len(self._graph.inputs) == 1 else ():
            outputs = self._outputs(self._tensor(self._files[0], spec))
            self.ran = bool(outputs)
            facts = OutputFacts(
                outputs, self._item.size, dict(self._graph.metadata), prior_constants(self._graph)
            )
            task = choose_task(None, facts) if outputs else None
            if task is not None and task.behaves is not None and task.behaves(outputs).speaks:
                self.task = task
                return
            self.task = self.task or task

    def quality(self, spec: PreprocessSpec) -> Sequence[float]:
        """How much it answers on each picture, and again where that is changed a little.

        A picture is run when its number is asked for. Zeros where the head is not recognized.
        """
        known = self._known.setdefault(str(spec), {})
        return _Answers([partial(self._answer, known, file, spec) for file in self._files])

    def _answer(self, known: dict[Path, float], file: Path, spec: PreprocessSpec) -> float:
        if file not in known:
            known[file] = self._quality(file, spec)
        return known[file]

    def _quality(self, file: Path, spec: PreprocessSpec) -> float:
        task, size = self.task, self._item.size
        if task is None or size is None:
            return 0.0
        tensor = self._tensor(file, spec)
        first = self._outputs(tensor)
        if not set(task.reads) <= first.keys():
            return 0.0
        if task.behaves is not None and task.behaves(first).speaks is False:
            return 0.0
        second = self._outputs(changed(task, tensor, channels_last=self._item.layout == "nhwc"))
        return surviving(task, first, second, size[0])

    @cached_property
    def _session(self) -> Session:
        return Session(self._graph.whole, self._graph, SessionSettings().deployed)

    def _tensor(self, file: Path, spec: PreprocessSpec) -> Array:
        tensor: Array = prepare_file(file, spec).tensor
        return tensor.astype(self._item.dtype)

    def _outputs(self, tensor: Array) -> dict[str, Array]:
        """Numeric outputs; none where the model does not take this tensor."""
        try:
            values = self._session.run({self._graph.inputs[0]: tensor})
        except QdebugError:
            return {}
        return {
            name: np.asarray(value, np.float32)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
        }


class _Answers(Sequence[float]):
    """A number a picture, each computed when it is asked for."""

    def __init__(self, numbers: Sequence[Callable[[], float]]) -> None:
        self._numbers = numbers

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        if isinstance(at, slice):
            return _Answers(self._numbers[at])
        return self._numbers[at]()

    def __len__(self) -> int:
        return len(self._numbers)


def _pictures(graph: Graph, item: ModelInput) -> int:
    """How many pictures a model of this size is asked about."""
    shape = item.concrete_shape
    types = infer_types(graph, {item.name: shape} if shape is not None else None)
    shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
    cost = sum(multiplications(graph, shapes).values())
    if (_FIRST + (MOST_PICTURES - 1) * _OTHER) * cost <= _BUDGET:
        return MOST_PICTURES
    return 1 + max(int((_BUDGET / cost - _FIRST) / _OTHER), 0)
