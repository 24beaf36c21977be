"""The run inside the page, so that the page can be loaded as a run again.

A report has to stay small enough to travel; what a large run leaves out is dropped step by step,
for layers without a card only, and named in the embedded run's notes.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.metrics.metric import METRICS
from qdebug.reporters.html.pictures import small_picture
from qdebug.run.arrays import HIST_NPZ, RunArrays
from qdebug.run.files import RUN_JSON
from qdebug.run.model import Layer, Run
from qdebug.run.store import run_to_json

_TENSORS = "tensors/"
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What the page carries.

    Attributes:
        run: base64 of the gzipped ``run.json``.
        files: JSON object of file name to base64.
        omitted: what was left out, one phrase each.
    """

    run: str
    files: str
    omitted: tuple[str, ...]


def embed(
    run: Run, arrays: RunArrays, cards: Collection[int], shown: Collection[str], room: int
) -> Embedded:
    """As much of a run as fits.

    Args:
        run: the run.
        arrays: its arrays.
        cards: indices of the layers with a card, which keep everything.
        shown: files that the page carries anyway.
        room: characters there are for it; the least that can be embedded may exceed them.
    """
    everything = 4 * len(arrays.to_bytes()) // 3
    steps = range(int(everything > room), len(OMITTED))
    for step in steps:
        embedded = _embed(run, arrays, cards, shown, step)
        if len(embedded.run) + len(embedded.files) <= room:
            return embedded
    return embedded


def _embed(
    run: Run, arrays: RunArrays, cards: Collection[int], shown: Collection[str], step: int
) -> Embedded:
    omitted = list(OMITTED[1 : step + 1])
    if any(layer.kept for layer in run.layers):
        omitted.insert(0, OMITTED[0])
    layers = tuple(
        dataclasses.replace(
            layer if layer.index in cards else _reduced(layer, step),
            kept=False,
            crop=layer.crop if step < _NO_FILES else None,
        )
        for layer in run.layers
    )
    notes = (*run.notes, *(f"embedded in a report without {what}" for what in omitted))
    smaller = dataclasses.replace(run, layers=layers, notes=notes)
    packed = gzip.compress(run_to_json(smaller, compact=True).encode(), 9, mtime=0)
    kept = arrays if step < 1 else select_arrays(arrays, cards)
    return Embedded(
        base64.b64encode(packed).decode(), _files(run, kept, shown, step), tuple(omitted)
    )


OMITTED = (
    "kept tensors",
    "histograms and channels of layers without a card",
    "the list of worst channels and all but five digits of layers without a card",
    "samples, weights and single outputs of layers without a card",
    "pictures that the page does not show, and the few values of layers that findings name",
)
"""What is left out, in the order in which it goes; the first always is."""
_NO_FILES = 4
"""The step at which nothing but ``hist.npz`` is left beside ``run.json``."""


def _files(run: Run, arrays: RunArrays, shown: Collection[str], step: int) -> str:
    content = {HIST_NPZ: arrays.to_bytes()}
    if step < _NO_FILES:
        for name in run.files.names():
            if name not in (RUN_JSON, HIST_NPZ, *shown) and not name.startswith(_TENSORS):
                content[name] = _file(run, name)
    packed = {name: base64.b64encode(data).decode() for name, data in content.items()}
    return json.dumps(packed, sort_keys=True)


def _file(run: Run, name: str) -> bytes:
    if name.endswith(_PICTURES):
        found = small_picture(run.files, name)
        if found is not None:
            return found[1]
    return run.files.read(name)


def _reduced(layer: Layer, step: int) -> Layer:
    if step < 2:
        return layer
    layer = dataclasses.replace(
        layer,
        worst_channels=(),
        sample_sqnr_db=tuple(round(value, 1) for value in layer.sample_sqnr_db),
        accumulated=_rounded(layer.accumulated),
        local=_rounded(layer.local),
    )
    if step < 3:
        return layer
    sensitivity = layer.sensitivity and dataclasses.replace(layer.sensitivity, per_output={})
    return dataclasses.replace(layer, sample_sqnr_db=(), weight=None, sensitivity=sensitivity)


def _rounded(metrics: Any) -> Any:
    """Five significant digits, but for the cosines, whose distance from 1 matters."""
    if metrics is None:
        return None
    values = {
        field.name: float(f"{value:.5g}")
        for field in dataclasses.fields(metrics)
        if (value := getattr(metrics, field.name)) is not None
        and (field.name not in METRICS or METRICS[field.name].form != "cosine")
    }
    return dataclasses.replace(metrics, **values)


def select_arrays(arrays: RunArrays, layers: Collection[int]) -> RunArrays:
    """The arrays of some layers only; the others have none."""
    rows = np.isin(arrays.hist_layers, list(layers))
    counts = np.diff(arrays.channel_offsets)
    wanted = np.isin(np.arange(len(counts)), list(layers))
    values = np.repeat(wanted, counts)
    start = int(arrays.channel_offsets[0])
    inside = slice(start, start + len(values))
    return RunArrays(
        hist_layers=arrays.hist_layers[rows],
        hist_range=arrays.hist_range[rows],
        hist_float=arrays.hist_float[rows],
        hist_quant=arrays.hist_quant[rows],
        channel_offsets=_offsets(np.where(wanted, counts, 0)),
        channel_sqnr_db=arrays.channel_sqnr_db[inside][values],
        channel_absmax=arrays.channel_absmax[inside][values],
    )


def _offsets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
