"""The work on one shard of pictures, here or in another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdebug.datasets import LabelledPicture
from qdebug.evaluation.models import Models, ModelsRequest
from qdebug.sharding.files import Sent, Unpacked
from qdebug.sharding.opened import Opened

Item = tuple[LabelledPicture, "bytes | None"]
"""A picture, and its file's content where the worker cannot see the file."""


@dataclass(frozen=True)
class AnswerWork:
    """Every model's answers to the pictures of a shard.

    The models are opened once a process and kept for its next shard.

    Attributes:
        request: the models, and how they run.
        key: tells one request from another.
        files: the models and the first picture, where workers cannot see them.
    """

    request: ModelsRequest
    key: str
    files: Sent

    def __call__(self, items: Sequence[Item]) -> list[tuple[Any, ...]]:
        """One tuple a picture, one answer a model."""
        models = _OPENED.get(
            self.key + self.files.key, lambda: Models(_moved(self.request, self.files))
        )
        return [_answers(models, picture, content) for picture, content in items]


_OPENED: Opened[Models] = Opened()


def adopt(key: str, models: Models) -> None:
    """Let this process use models that are open already."""
    _OPENED.adopt(key, models)


def _moved(request: ModelsRequest, files: Sent) -> ModelsRequest:
    """The request over a worker's copies of the files."""
    places = files.places
    first = dataclasses.replace(
        request.first, path=places.get(request.first.path, request.first.path)
    )
    models = tuple(places.get(model, model) for model in request.models)
    beside = {
        name: places.get(path, path)
        for name in ("qtable", "names")
        if (path := getattr(request, name)) is not None
    }
    return dataclasses.replace(request, models=models, first=first, **beside)


def _answers(models: Models, picture: LabelledPicture, content: bytes | None) -> tuple[Any, ...]:
    if content is None:
        return models.answers(picture)
    with Unpacked({picture.path: content}) as copies:
        path = copies.places[picture.path]
        return models.answers(dataclasses.replace(picture, path=path))
