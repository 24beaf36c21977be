"""Comparisons that the tests of the checks share: of sample pairs, planted faults, small nets."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import qdebug
from qdebug.run.model import Finding, Run
from tests.support.planting import Planted
from tests.support.planting.pairs import Pair, feeds_of, plant, sample_pairs
from tests.support.running import optimized_sqnr
from tests.support.tables import sample_table

Array = npt.NDArray[Any]
EFFECTS = ("task-effect", "layer-limit", "output-error")
"""Findings that say how much, not why."""
PICTURES = 4
WRONG_DB = 10.0
"""Optimized and plain graph agree to less: not rounding any more (by judgement)."""


@functools.cache
def sample_run(name: str) -> Run:
    """The comparison of a pair of ``models.toml``, on few of its pictures."""
    pair = sample_table()[name]
    return qdebug.compare(
        pair.float_model, pair.quant_model, _few(name, pair.pictures), preprocess=pair.spec
    )


def planted_run(fault: str, model: str = "classifier") -> tuple[Planted, Run]:
    """A fault planted into a sample pair, and what the comparison says of it."""
    return _planted_run(fault, model)


@functools.cache
def _planted_run(fault: str, model: str) -> tuple[Planted, Run]:
    (pair,) = [p for p in sample_pairs() if p.name == f"sample {model}"]
    planted = plant(pair, fault)
    return planted, _pair_run(pair, model, planted.float_model, planted.quant_model)


def optimized_wrongly(fault: str, model: str = "classifier") -> bool:
    """Whether the ONNX Runtime at hand optimizes a planted model into another function.

    Versions up to 1.26 do so where a range is stretched.
    """
    (pair,) = [p for p in sample_pairs() if p.name == f"sample {model}"]
    planted, _ = _planted_run(fault, model)
    (feeds, *_) = feeds_of(pair, planted.float_model)
    return optimized_sqnr(planted.quant_model, feeds) < WRONG_DB


def sound_run(fault: str, model: str = "classifier") -> Run:
    """What the comparison says of the same change made soundly."""
    (pair,) = [p for p in sample_pairs() if p.name == f"sample {model}"]
    planted = plant(pair, fault)
    assert planted.sound_model is not None
    return _pair_run(pair, model, planted.float_model, planted.sound_model)


def _pair_run(pair: Pair, model: str, *models: onnx.ModelProto) -> Run:
    with tempfile.TemporaryDirectory() as name:
        files = save_pair(Path(name), *models)
        return qdebug.compare(*files, _few(model, pair.pictures), preprocess=pair.spec)


def _few(name: str, pictures: Sequence[Path]) -> Sequence[Path]:
    """Fewer of them for the slower detector."""
    return pictures[: 2 if "detector" in name else PICTURES]


def net_run(
    float_model: onnx.ModelProto, quant_model: onnx.ModelProto, *feeds: Mapping[str, Array]
) -> Run:
    """The comparison of two small nets on given inputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = [folder / f"{number}.npz" for number in range(len(feeds))]
        for file, feed in zip(inputs, feeds, strict=True):
            np.savez(file, allow_pickle=False, **feed)
        return qdebug.compare(*save_pair(folder, float_model, quant_model), inputs)


def save_pair(
    folder: Path, float_model: onnx.ModelProto, quant_model: onnx.ModelProto
) -> tuple[Path, Path]:
    """Write both models."""
    files = folder / "float.onnx", folder / "quant.onnx"
    for model, file in zip((float_model, quant_model), files, strict=True):
        onnx.save(model, file)
    return files


def finding(run: Run, slug: str) -> Finding:
    """The first finding of a kind."""
    return next(f for f in run.findings if f.slug == slug)


def causes(run: Run, *statuses: str) -> set[str]:
    """Slugs with one of these statuses, of findings that name a cause."""
    return {f.slug for f in run.findings if f.status in statuses} - set(EFFECTS)


def layer_names(run: Run, found: Finding) -> list[str]:
    """Names of the layers of a finding."""
    return [run.layers[at].name for at in found.layers]


def table_of(found: Finding, title: str) -> list[list[Any]]:
    """Rows of a table among the evidence, by the beginning of its title."""
    evidence = next(e for e in found.evidence if e.title.startswith(title))
    rows: list[list[Any]] = evidence.data["rows"]
    return rows
