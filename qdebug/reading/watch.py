"""Follows the outputs through all samples and holds a board's answers against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.task import Task
from qdebug.datasets import Dataset, LabelledPicture
from qdebug.errors import UsageError
from qdebug.preprocess import Sample
from qdebug.preprocess.geometry import Geometry
from qdebug.reading.boxes import read_boxes
from qdebug.reading.candidates import RIGHT, Codes, see
from qdebug.reading.fit import Answer
from qdebug.reading.labels import read_labels
from qdebug.reading.maps import read_maps
from qdebug.reading.outcome import ReadingOutcome
from qdebug.reading.predictions import Predictions, read_predictions
from qdebug.reading.texts import read_texts
from qdebug.run.reading_results import ReadingInfo

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]

READABLE = ("detection", "classification", "text", "segmentation")
"""Tasks whose answers are compared."""


class ReadingWatch:
    """The board's answers for the samples of a run.

    Args:
        predictions: their file or folder.
        samples: all samples, in the order in which they are run.
        codes: scale and zero point of the outputs that are quantized.
    """

    def __init__(self, predictions: Path, samples: Sequence[Sample], codes: Codes) -> None:
        self._path, self._samples, self._codes = predictions, samples, codes
        self._task: Task | None = None
        self._held: dict[str, dict[int, Any]] = {}

    def add(self, number: int, task: Task | None, by_basis: Mapping[str, Outputs]) -> None:
        """Keep what one sample's outputs hold.

        Args:
            number: of the sample.
            task: what was recognized.
            by_basis: outputs by the float model's names, by whose they are.

        Raises:
            UsageError: the task is not known, or has no answers that are compared.
        """
        self._task = _readable(task)
        for basis, outputs in by_basis.items():
            if set(self._task.reads) <= outputs.keys():
                self._held.setdefault(basis, {})[number] = self._kept(number, outputs)

    def outcome(self, certain: bool) -> ReadingOutcome | None:
        """What the answers say; None where no output was seen.

        Args:
            certain: whether the task is known.

        Raises:
            InputError: the file of the answers cannot be read, or is of other pictures.
        """
        if self._task is None:
            return None
        predictions = read_predictions(self._path, self._dataset(self._task))
        info, settings = self._read(self._task, predictions)
        notes = (*info.notes, *predictions.notes)
        return ReadingOutcome(replace(info, notes=notes), certain, settings)

    def _dataset(self, task: Task) -> Dataset:
        pictures = [
            LabelledPicture(s.name, s.picture if s.picture is not None else Path(s.name), "")
            for s in self._samples
        ]
        return Dataset("the inputs", "", task.kind, tuple(pictures))

    def _kept(self, number: int, outputs: Outputs) -> Any:
        task = self._task
        assert task is not None
        if task.head is not None:
            return see(task.head, outputs, self._geometry(number), self._codes)
        assert task.read is not None
        if task.kind == "classification":
            return task.read(outputs)
        ways = {RIGHT: task.read(outputs), **{n: f(outputs) for n, f in task.misread.items()}}
        return (ways, self._geometry(number)) if task.kind == "segmentation" else ways

    def _geometry(self, number: int) -> Geometry:
        geometry = self._samples[number].geometry
        if geometry is None:
            raise UsageError(
                f"--predictions: {self._samples[number].name} is a tensor, which has no places",
                "give the pictures that the board was given",
            )
        return geometry

    def _by_basis(self) -> dict[str, list[Any]]:
        """By whose tensors, nearest first; a board's dump lacks samples, which its twin has."""
        twin = self._held.get("quant", self._held.get("float", {}))
        order = [basis for basis in ("board", "quant", "float") if basis in self._held]
        numbers = range(len(self._samples))
        return {b: [self._held[b].get(n, twin.get(n)) for n in numbers] for b in order}

    def _read(self, task: Task, found: Predictions) -> tuple[ReadingInfo, Mapping[str, str]]:
        by_basis, named = self._by_basis(), (found.file.name, found.form)
        if task.kind == "detection":
            return read_boxes(by_basis, [_answer(a) for a in found.answers], *named)
        if task.kind == "classification":
            codes = self._codes.get(task.reads[0])
            return read_labels(by_basis, found.answers, codes, *named), {}
        read = read_texts if task.kind == "text" else read_maps
        return read(by_basis, found.answers, *named), {}


def _readable(task: Task | None) -> Task:
    if task is None or task.kind not in READABLE or (task.kind == "detection" and not task.head):
        told = "no task is recognized" if task is None else f"answers of {task.kind} are not read"
        raise UsageError(f"--predictions: {told}", f"give --task: {', '.join(READABLE)}")
    if task.head is not None and not task.head.drawable:
        raise UsageError(
            f"--predictions: {task.form}", "the boxes of this head cannot be decoded, nor compared"
        )
    return task


def _answer(table: Array) -> Answer:
    return Answer(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
