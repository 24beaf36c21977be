"""What a tuning begins with: the models as ``compare`` loads them, and the pictures, parted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from qdebug.capture.session import SessionSettings
from qdebug.comparison.quantize import calibrated_twin, save_twin
from qdebug.comparison.sides import Side, float_side, load_sides, samples_of, settled
from qdebug.cure.pictures import Split, split
from qdebug.graph.load import load_graph
from qdebug.options import CompareOptions, TuneOptions
from qdebug.preprocess import RawFormat, Sample, find_samples
from qdebug.progress import Progress
from qdebug.vendors import registry


@dataclass(frozen=True)
class Start:
    """What a tuning begins with.

    Attributes:
        request: of the user, its pipeline settled.
        options: with which both models were loaded.
        sides: float and quant.
        samples: the pictures, in the order given.
        parts: which of them are searched on, and which decide.
    """

    request: TuneOptions
    options: CompareOptions
    sides: tuple[Side, Side]
    samples: list[Sample]
    parts: Split


def begin(request: TuneOptions, folder: Path, progress: Progress) -> Start:
    """Load both models and find the pictures.

    Args:
        request: of the user.
        folder: where a twin is written that is made here.
        progress: told what is done.
    """
    quant = request.quant_model
    if quant is None:
        request = _with_pipeline(request)
        progress.note("no QUANT is given: it begins from minimum and maximum of the pictures")
        quant = _calibrated(request, folder, progress)
    options = as_compared(request, quant)
    sides = load_sides(options)
    samples = samples_of(options, sides)
    request = dataclasses.replace(request, preprocess=settled(sides[0]))
    return Start(request, options, sides, samples, split(len(samples)))


def _with_pipeline(request: TuneOptions) -> TuneOptions:
    """Infer the pipeline before a twin is calibrated with it, which would then confirm it."""
    if request.preprocess is not None:
        return request
    graph = load_graph(Path(request.float_model))
    side = float_side(graph, None, [str(item) for item in inputs_of(request)])
    return dataclasses.replace(request, preprocess=settled(side))


def _calibrated(request: TuneOptions, folder: Path, progress: Progress) -> Path:
    """A twin with minimum and maximum over the pictures that do not decide."""
    graph = load_graph(Path(request.float_model))
    names = [str(item) for item in inputs_of(request)]
    side = float_side(graph, request.preprocess, names)
    raw = RawFormat(request.shape, request.dtype)
    samples = find_samples(names, side.contract, raw=raw, limit=request.limit)
    held_out = set(split(len(samples)).held_out)
    feeds = [sample.load() for at, sample in enumerate(samples) if at not in held_out]
    settings = SessionSettings(threads=request.threads or 0)
    twin = folder / f"{Path(request.float_model).stem}_minmax.onnx"
    save_twin(calibrated_twin(graph, feeds, "max", settings, progress), twin)
    return twin


def _adviser(name: str | None) -> str | None:
    """The toolchain in whose words advice is written, if it has some."""
    found = registry.toolchain(name, "advice") if name is not None else None
    return None if found is None else found.name


def inputs_of(request: TuneOptions) -> list[str | Path]:
    """INPUT arguments as a list."""
    given = request.inputs
    return [given] if isinstance(given, (str, Path)) else list(given)


def as_compared(request: TuneOptions, quant_model: str | Path) -> CompareOptions:
    """The request of a comparison with a twin: the given one, or one that was made of it."""
    is_given = str(quant_model) == str(request.quant_model)
    return CompareOptions(
        request.float_model,
        quant_model,
        request.inputs,
        preprocess=request.preprocess,
        quant_preprocess=request.quant_preprocess,
        shape=request.shape,
        dtype=request.dtype,
        limit=request.limit,
        threads=request.threads,
        max_memory=request.max_memory,
        task=request.task,
        vendor=_adviser(request.vendor),
        force=request.force,
        command=request.command,
        quant_format=request.quant_format if is_given else None,
        qtable=request.qtable if is_given else None,
        names=request.names if is_given else None,
    )
