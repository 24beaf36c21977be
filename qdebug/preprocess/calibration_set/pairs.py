"""Which picture a calibration set's tensor was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdebug.errors import InputError
from qdebug.preprocess.apply import prepare_file
from qdebug.preprocess.calibration_set.entries import Entry
from qdebug.preprocess.calibration_set.traits import Array, Look, look_at
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Letterbox, Resize

_SAME = 0.9
"""Correlation of the small pictures under the nearest of three geometries; other photos hardly
reach 0.8. By judgement: a wrong pair would be refused by the check of the picture."""
_MOST = 64


@dataclass(frozen=True)
class Pair:
    """A tensor and the picture that it was made of.

    Attributes:
        tensor: what calibration fed.
        picture: the file.
        by_name: whether they have one name, or only look alike.
    """

    tensor: Array
    picture: Path
    by_name: bool


def paired(
    entries: Sequence[Entry],
    looks: Sequence[Look],
    pictures: Sequence[Path],
    spec: PreprocessSpec,
) -> list[Pair]:
    """Pair tensors with the pictures of the same name, else with those that look like them.

    Toolchains number their dumps, so that the name is often lost.
    """
    stems = {path.stem: path for path in pictures}
    named = [
        Pair(entry.tensor, stems[Path(entry.name).stem], by_name=True)
        for entry in entries
        if entry.tensor is not None and Path(entry.name).stem in stems
    ]
    if named or not pictures:
        return named
    return list(_by_looks(entries, looks, pictures[:_MOST], spec))


def _by_looks(
    entries: Sequence[Entry],
    looks: Sequence[Look],
    pictures: Sequence[Path],
    spec: PreprocessSpec,
) -> Iterator[Pair]:
    thumbs = [(path, thumb) for path in pictures for thumb in _thumbs(path, looks[0], spec)]
    if not thumbs:
        return
    known = np.stack([thumb.ravel() for _, thumb in thumbs])
    for entry, look in zip(entries[:_MOST], looks, strict=False):
        scores = known @ look.thumb.ravel()
        best = int(np.argmax(scores))
        if scores[best] >= _SAME and entry.tensor is not None:
            yield Pair(entry.tensor, thumbs[best][0], by_name=False)


def _thumbs(path: Path, like: Look, spec: PreprocessSpec) -> Iterator[Array]:
    """The small pictures under the pipeline's geometry, a stretch and a letterbox."""
    rest = PreprocessSpec.parse("rgb | uint8 | nhwc").steps
    for geometry in (spec.geometry, (Resize(like.size),), (Letterbox(like.size),)):
        try:
            made = prepare_file(path, PreprocessSpec((*geometry, *rest))).tensor
        except InputError:
            continue
        yield look_at(Entry(path.name, made)).thumb
