"""The work on one shard of pictures, here or in another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdebug.datasets import LabelledPicture
from qdebug.evaluation.models import Models, ModelsRequest
from qdebug.sharding.files import Unpacked

Item = tuple[LabelledPicture, "bytes | None"]
"""A picture, and its file's content where the worker cannot see the file."""


@dataclass(frozen=True)
class AnswerWork:
    """Every model's answers to the pictures of a shard.

    The models are opened once a process and kept for its next shard.

    Attributes:
        request: the models, and how they run.
        key: tells one request from another.
        contents: content of files that workers cannot see, by path; sent once a worker.
    """

    request: ModelsRequest
    key: str
    contents: Mapping[Path, bytes] = field(default_factory=dict, repr=False)

    def __call__(self, items: Sequence[Item]) -> list[tuple[Any, ...]]:
        """One tuple a picture, one answer a model."""
        models = _opened(self)
        return [_answers(models, picture, content) for picture, content in items]


class _Process:
    """What this process has open: one request's models."""

    key = ""
    models: Models | None = None
    files: Unpacked | None = None


def adopt(key: str, models: Models) -> None:
    """Let this process use models that are open already."""
    _Process.key, _Process.models = key, models


def _opened(work: AnswerWork) -> Models:
    if _Process.models is None or _Process.key != work.key:
        request = work.request
        if work.contents:
            request = _unpacked(request, work.contents)
        adopt(work.key, Models(request))
    assert _Process.models is not None
    return _Process.models


def _unpacked(request: ModelsRequest, contents: Mapping[Path, bytes]) -> ModelsRequest:
    """The request over copies of the files that came along."""
    _Process.files = Unpacked(contents)
    places = _Process.files.places
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
