"""Running models on labelled pictures, as they are deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.analysis.tasks import OutputFacts, Task, choose_task, prior_constants
from qdebug.analysis.tasks.heads import describe_outputs
from qdebug.capture.session import Session, SessionSettings
from qdebug.comparison.sides import Side, feeds_of, load_sides
from qdebug.datasets import LabelledPicture
from qdebug.datasets.masks import read_mask
from qdebug.errors import InputError, UsageError
from qdebug.evaluation.scores import classification, segmentation
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.options import CompareOptions
from qdebug.preprocess import Sample
from qdebug.preprocess.samples import Contract, RawFormat
from qdebug.preprocess.samples import Side as SideName
from qdebug.reading.decoding import Decoding
from qdebug.vendors.quant_model import is_onnx

Outputs = dict[str, Any]


@dataclass(frozen=True)
class ModelsRequest:
    """What is run, and how; plain data that travels to other processes.

    Attributes:
        models: ONNX files, the reference first.
        task: of the data set.
        first: the data set's first picture, by which every process recognizes the head alike.
        decoding: of boxes.
        preprocess: what ``-p`` says, None for what the first model implies.
        quant_preprocess: the same for the other models.
        settings: how sessions run.
        quant_format: format of models that are a toolchain's file; None to recognize it.
        qtable: a second table beside such a model.
        names: the toolchain's own float graph for such a model.
        outputs: how far the models are taken, as ``--outputs`` has it.
    """

    models: tuple[Path, ...]
    task: str
    first: LabelledPicture
    decoding: Decoding
    preprocess: Any
    quant_preprocess: Any
    settings: SessionSettings
    quant_format: str | None = None
    qtable: Path | None = None
    names: Path | None = None
    outputs: str | None = None


class Models:
    """Models ready to answer.

    Args:
        request: see there.
        first: the first model, where it is read already.

    Raises:
        ModelError: a model cannot be read or run.
        UsageError: its outputs are in no form that the task reads.
    """

    def __init__(self, request: ModelsRequest, first: Graph | None = None) -> None:
        self.request = request
        self.sides = _sides(request, first or load_graph(request.models[0]))
        self._sessions = [
            Session(side.graph.whole, side.graph, request.settings.deployed) for side in self.sides
        ]
        self.task, self.head = self._recognize()

    def answers(self, picture: LabelledPicture) -> tuple[Any, ...]:
        """Every model's answer to one picture, as the task's scorer takes it.

        Raises:
            InputError: the picture cannot be read.
        """
        return tuple(self._answer(at, picture) for at in range(len(self.sides)))

    @property
    def class_count(self) -> int | None:
        """Classes of the head; None for text and maps, which show them by value."""
        return self.head

    def _recognize(self) -> tuple[Task, int | None]:
        _, outputs = self._outputs(0, self.request.first)
        graph = self.sides[0].graph
        size = self.sides[0].contract.size
        facts = OutputFacts(outputs, size, dict(graph.metadata), prior_constants(graph))
        try:
            task = choose_task(self.request.task, facts)
        except UsageError:
            raise UsageError(
                f"{graph.path.name}: its outputs {describe_outputs(outputs)} are none of "
                f"{self.request.task}, which the data set is for",
                "give the labels of what the model does; --data-format reads them in another form",
            ) from None
        assert task is not None
        assert task.read is not None
        count = _CLASSES.get(task.kind)
        return task, count(task.read(outputs)) if count is not None else None

    def _outputs(self, at: int, picture: LabelledPicture) -> tuple[Sample, Outputs]:
        """A model's outputs by the first model's names."""
        reference, side, session = self.sides[0], self.sides[at], self._sessions[at]
        contracts: dict[SideName, Contract] = {
            "float": reference.contract,
            "quant": side.contract,
        }
        sample = Sample(picture.name, {"": picture.path}, contracts, RawFormat())
        feeds = feeds_of(sample, reference, side)[0 if at == 0 else 1]
        values = session.run(feeds)
        names = _output_names(reference.graph.outputs, session.output_names)
        return sample, {n: np.asarray(values[q], np.float32) for n, q in names.items()}

    def _answer(self, at: int, picture: LabelledPicture) -> Any:
        sample, outputs = self._outputs(at, picture)
        assert self.task.read is not None
        if not set(self.task.reads) <= outputs.keys():
            raise InputError(
                f"{self.sides[at].graph.path.name} has not the outputs of the first model",
                f"it needs {', '.join(self.task.reads)}",
            )
        read = self.task.read(outputs)
        return _ANSWERS[self.task.kind](self.request.decoding, sample, picture, read)


def _sides(request: ModelsRequest, first: Graph) -> list[Side]:
    """The first model's side, and the others as twins of it."""
    load = partial(
        CompareOptions,
        request.models[0],
        inputs=(),
        preprocess=request.preprocess,
        quant_preprocess=request.quant_preprocess,
        outputs=request.outputs,
    )
    beside: dict[str, Any] = {
        "quant_format": request.quant_format,
        "qtable": request.qtable,
        "names": request.names,
    }
    pairs = [
        load_sides(load(model) if is_onnx(model) else load(model, **beside), first)
        for model in request.models
    ]
    return [pairs[0][0], *(pair[1] for pair in pairs[1:])]


def _output_names(reference: Sequence[str], found: Sequence[str]) -> dict[str, str]:
    """First model's output to another one's: by name, else by place."""
    if set(reference) <= set(found):
        return {name: name for name in reference}
    if len(reference) == len(found):
        return dict(zip(reference, found, strict=True))
    return {name: name for name in reference if name in found}


def _boxes(decoding: Decoding, sample: Sample, _: LabelledPicture, read: Any) -> Any:
    assert sample.geometry is not None
    return decoding.boxes(read, sample.geometry)


def _map(_: Decoding, sample: Sample, picture: LabelledPicture, read: Any) -> Any:
    assert sample.geometry is not None
    assert isinstance(picture.truth, Path)
    return segmentation.answer(read, read_mask(picture.truth), sample.geometry)


_CLASSES: Mapping[str, Callable[[Any], int]] = {
    "detection": lambda read: int(read.scores.shape[1]),
    "classification": len,
}
"""Classes of a head, by what its reader gives."""
_ANSWERS: Mapping[str, Callable[[Decoding, Sample, LabelledPicture, Any], Any]] = {
    "detection": _boxes,
    "classification": lambda _, __, ___, read: classification.answer(read),
    "text": lambda _, __, ___, read: str(read),
    "segmentation": _map,
}
