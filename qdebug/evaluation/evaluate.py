"""From models and a labelled data set to a record of their scores."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdebug.capture.session import SessionSettings
from qdebug.comparison.float_answers import MOST_PICTURES
from qdebug.comparison.sides import load_sides, model_files, settled
from qdebug.datasets import BoxTruth, Dataset, LabelledPicture, read_dataset, scan
from qdebug.errors import InputError, UsageError
from qdebug.evaluation.class_map import ClassMap, check_labels, map_classes
from qdebug.evaluation.models import Models, ModelsRequest
from qdebug.evaluation.record import Evaluated, make_record
from qdebug.evaluation.scores import Scorer, scorer_of
from qdebug.evaluation.scores.classification import Best
from qdebug.evaluation.table import make_result
from qdebug.evaluation.work import AnswerWork, Item, adopt
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.options import CompareOptions, EvaluateOptions, takes
from qdebug.progress import Progress, Silent
from qdebug.reading.decoding import Decoding
from qdebug.reading.predictions import Predictions, are_predictions, read_predictions
from qdebug.remote import Fetched, is_url, shown
from qdebug.run.model import Run
from qdebug.run.store import MemoryWriter, RunWriter
from qdebug.sharding import Scheduler, run_shards
from qdebug.sharding.choose import choose_scheduler, threads_each
from qdebug.vendors.quant_model import is_onnx

_DECODED = "detection"
_SCORED_BESIDE = ("detection", "classification")
"""Tasks whose predictions by other programs are scored."""


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> Run:
    """Score models on labelled data.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    return scored(options)[0]


def scored(options: EvaluateOptions) -> tuple[Run, Dataset]:
    """The record, and the data set as it was read.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    started = time.perf_counter()
    output = Path(options.output) if options.output is not None else None
    writer = RunWriter(output, force=options.force) if output is not None else MemoryWriter()
    _check_urls(options)
    with Fetched() as urls, writer:
        dataset = _dataset(options, urls)
        evaluation = _Evaluation(options, dataset, options.progress or Silent())
        evaluated = evaluation.run()
        run = make_record(options, evaluated, writer, time.perf_counter() - started)
    return run, dataset


def _check_urls(options: EvaluateOptions) -> None:
    for model in filter(is_url, _models_of(options)):
        raise UsageError(f"{shown(str(model))}: models are read from files", "copy it here")


def _models_of(options: EvaluateOptions) -> list[str | Path]:
    given = options.models
    return [given] if isinstance(given, (str, Path)) else list(given)


def _dataset(options: EvaluateOptions, urls: Fetched) -> Dataset:
    images = Path(urls.path(options.images)) if options.images is not None else None
    dataset = read_dataset(Path(urls.path(options.data)), options.data_format, images)
    pictures = dataset.pictures[: options.limit]
    return scan(dataclasses.replace(dataset, pictures=pictures), skip_broken=options.skip_broken)


class _Evaluation:
    """One evaluation on its way."""

    def __init__(self, options: EvaluateOptions, dataset: Dataset, progress: Progress) -> None:
        self.options, self.dataset, self.progress = options, dataset, progress
        self.paths = tuple(Path(item) for item in _models_of(options))
        self.run_paths = tuple(path for path in self.paths if not are_predictions(path))
        self.decoding = Decoding(
            options.confidence, options.iou, options.max_boxes, options.multi_label
        )
        self.scorer: Scorer = scorer_of(dataset, options.class_offset)
        self._check_limits()

    def run(self) -> Evaluated:
        """All models' answers, scored."""
        predictions = {
            path: self._predictions(path) for path in self.paths if path not in self.run_paths
        }
        models = self._open() if self.run_paths else None
        answers = self._answers(models) if models is not None else []
        rows = [self._row(path, answers, predictions) for path in self.paths]
        self.progress.stage("scoring", len(rows))
        result = make_result(
            self.dataset,
            self.scorer,
            rows,
            self._reading(models),
            self._notes(models),
            self.progress.advance,
        )
        return Evaluated(
            result,
            models.sides if models is not None else (),
            self.decoding,
            self.paths,
            self.dataset.classes,
        )

    def _predictions(self, path: Path) -> Predictions:
        if self.dataset.task not in _SCORED_BESIDE:
            raise InputError(
                f"{path.name}: predictions for {self.dataset.task} cannot be read",
                "give the model itself",
            )
        return read_predictions(path, self.dataset)

    def _check_limits(self) -> None:
        known = self.scorer.metrics
        for limit in self.options.limits:
            if limit.metric not in known:
                raise UsageError(
                    f"--fail-under: {self.dataset.task} has no metric {limit.metric!r}",
                    f"its metrics are {', '.join(known)}",
                )

    def _open(self) -> Models:
        self.progress.stage("opening the models")
        first = load_graph(self.run_paths[0])
        request = self._request(first)
        models = Models(request, first)
        self._key = hashlib.sha256(repr(request).encode()).hexdigest()
        self._models_request = request
        adopt(self._key, models)
        graph = models.sides[0].graph
        self._map: ClassMap | None = None
        if models.class_count is not None and self.dataset.task == _DECODED:
            self._map = map_classes(
                self.dataset, models.class_count, graph.metadata, self.options.class_offset
            )
        elif models.class_count is not None:
            check_labels(self.dataset, models.class_count, self.options.class_offset)
        return models

    def _request(self, first: Graph) -> ModelsRequest:
        options = self.options
        twin = self.run_paths[-1]
        beside: dict[str, Any] = {
            "quant_format": options.quant_format,
            "qtable": options.qtable,
            "names": options.names,
        }
        side, _ = load_sides(
            CompareOptions(
                self.run_paths[0],
                twin,
                [picture.path for picture in self.dataset.pictures[:MOST_PICTURES]],
                preprocess=options.preprocess,
                outputs=options.outputs,
                **({} if is_onnx(twin) else beside),
            ),
            first,
        )
        if not side.preprocess.spec:
            raise UsageError(
                "nothing says how to make a tensor of a picture", "give the pipeline with -p"
            )
        return ModelsRequest(
            tuple(path.absolute() for path in self.run_paths),
            self.dataset.task,
            _bare(self.dataset.pictures[0]),
            self.decoding,
            settled(side),
            str(options.quant_preprocess) if options.quant_preprocess is not None else None,
            SessionSettings(
                threads=threads_each(options.threads, options.workers), provider=options.provider
            ),
            options.quant_format,
            _absolute(options.qtable),
            _absolute(options.names),
            options.outputs,
        )

    def _answers(self, models: Models) -> list[tuple[Any, ...]]:
        self.progress.stage("running the models", len(self.dataset.pictures))
        chosen = choose_scheduler(self.options.workers, self.options.scheduler)
        with chosen as scheduler:
            work, items = self._shared(models, scheduler)
            found = run_shards(work, items, scheduler, self.progress)
        if self._map is None:
            return found
        classes = self._map
        return [tuple(classes.apply(answer) for answer in answers) for answers in found]

    def _shared(self, models: Models, scheduler: Scheduler) -> tuple[AnswerWork, list[Item]]:
        """The work and its pictures, with the content of the files that workers cannot see."""
        pictures = [_bare(picture) for picture in self.dataset.pictures]
        beside = models.request.qtable, models.request.names
        tables = [path for path in beside if path is not None]
        needed = [*model_files(models.sides), *tables, pictures[0].path]
        sent = scheduler.send(needed)
        is_hidden = not scheduler.sees(pictures[0].path)
        items: list[Item] = [
            (picture, picture.path.read_bytes() if is_hidden else None) for picture in pictures
        ]
        return AnswerWork(self._models_request, self._key, sent), items

    def _row(
        self,
        path: Path,
        answers: Sequence[Any],
        predictions: dict[Path, Predictions],
    ) -> tuple[str, Any, Sequence[Any], tuple[str, ...]]:
        """A model's name, its origin, its answers by picture, and notes."""
        if path in predictions:
            found = predictions[path]
            answers = found.answers
            if self.dataset.task == "classification":
                answers = [Best(classes) for classes in answers]
            return found.file.name, "predictions", answers, found.notes
        at = self.run_paths.index(path)
        return path.name, "model", [answer[at] for answer in answers], ()

    def _reading(self, models: Models | None) -> str:
        """How answers are read, for the record."""
        if models is None:
            return "predictions as given"
        form = models.task.form
        return f"{form}; {self.decoding.describe()}" if self.dataset.task == _DECODED else form

    def _notes(self, models: Models | None) -> tuple[str, ...]:
        told = self._map.notes if models is not None and self._map is not None else ()
        return (*self.dataset.notes, *told)


def _bare(picture: LabelledPicture) -> LabelledPicture:
    """A picture without its boxes, which no model needs to answer."""
    truth = 0 if isinstance(picture.truth, BoxTruth) else picture.truth
    return dataclasses.replace(picture, truth=truth)


def _absolute(path: str | Path | None) -> Path | None:
    return Path(path).absolute() if path is not None else None
