"""``qdebug.quantize``: the fake-quantized twin of a float model, from a file or by calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import external_data_helper

from qdebug import interrupts
from qdebug.analysis.calibration import Distribution, Spread, quantizer_for, thresholds
from qdebug.analysis.entropy import entropy_range
from qdebug.capture.fetch import CHUNK, Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.comparison.cutting import cut_float
from qdebug.comparison.sides import Feeds, float_side, guess_told, quant_request
from qdebug.encodings.application import apply_encodings
from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.quantizable import RULES, kept_codes, quantizable
from qdebug.errors import UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import code_range
from qdebug.graph.shapes import infer_types
from qdebug.graph.simplify import simplified
from qdebug.options import QuantizeOptions, takes
from qdebug.preprocess import RawFormat, find_samples
from qdebug.progress import Progress, Silent
from qdebug.run.atomic import write_whole
from qdebug.run.model import EncodingsInfo
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_files import encodings_info

Array = npt.NDArray[Any]
_ACTIVATIONS = "uint8"
_CODES = 256
_LARGEST = 1 << 31


@dataclass(frozen=True)
class Quantized:
    """A twin that was made.

    Attributes:
        model: external weights still outside.
        folder: that those are relative to.
        info: what became of the entries.
    """

    model: onnx.ModelProto
    folder: Path
    info: EncodingsInfo


@takes(QuantizeOptions)
def quantize(options: QuantizeOptions) -> EncodingsInfo:
    """Write the fake-quantized twin of a float model: QDQ, valid in ONNX Runtime, with shapes.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    path = Path(options.output)
    if path.exists() and not options.force:
        raise UsageError(f"{path} exists already", "use --force to replace it")
    if (options.source is None) == (options.calibrate is None):
        raise UsageError(
            "quantize needs either a toolchain's file or pictures",
            "give --from FILE or --calibrate PICTURES",
        )
    whole = load_graph(Path(options.float_model))
    cut = cut_float(whole, options.outputs)
    graph = cut.graph if cut is not None else whole
    if options.source is not None:
        made = _from_file(options, graph, whole)
    else:
        made = _calibrated(options, graph)
    save_twin(made, path)
    return made.info


def save_twin(made: Quantized, path: Path) -> None:
    """Write a twin into one file, its external weights inside."""
    write_whole(path, _complete(made).SerializeToString())


def _complete(made: Quantized) -> onnx.ModelProto:
    """The model with its external weights inside."""
    external_data_helper.load_external_data_for_model(made.model, str(made.folder))
    if made.model.ByteSize() >= _LARGEST:
        raise UsageError(
            "the twin has more than 2 GiB, which no ONNX file holds",
            "give the toolchain's file to qdebug compare in its place",
        )
    return made.model


def _from_file(options: QuantizeOptions, graph: Graph, whole: Graph) -> Quantized:
    quant = load_quant(quant_request(options, str(options.source)), graph, whole)
    if quant.info is None:
        raise UsageError(
            f"{options.source} is a quantized graph already", "give it to qdebug compare as it is"
        )
    return Quantized(quant.graph.proto, quant.graph.folder, quant.info)


def _calibrated(options: QuantizeOptions, graph: Graph) -> Quantized:
    settings, progress = SessionSettings(threads=options.threads or 0), options.progress or Silent()
    given = options.calibrate
    assert given is not None
    names = [str(item) for item in ([given] if isinstance(given, (str, Path)) else given)]
    side = float_side(graph, options.preprocess, names)
    samples = find_samples(
        names, side.contract, raw=RawFormat(options.shape, options.dtype), limit=options.limit
    )
    feeds = [sample.load() for sample in samples]
    made = calibrated_twin(graph, feeds, options.method, settings, progress)
    told = tuple(filter(None, (guess_told(side),)))
    info = dataclasses.replace(made.info, notes=(*made.info.notes, *told))
    return dataclasses.replace(made, info=info)


def calibrated_twin(
    graph: Graph,
    feeds: Sequence[Feeds],
    method: str,
    settings: SessionSettings,
    progress: Progress,
) -> Quantized:
    """The twin of a float model with ranges from some samples.

    Args:
        graph: the float model.
        feeds: its inputs, for each sample.
        method: as ``--method`` takes it.
        settings: how to run it.
        progress: told what is done.

    Raises:
        ModelError: ONNX Runtime cannot run it.
    """
    base = _simplified(graph)
    run = _Calibration(base, settings, progress)
    entries = tuple(_entries(base, run.distributions(feeds), method))
    made = apply_encodings(base.proto, Encodings(entries), RULES, base.folder)
    info = encodings_info(made, Encodings(entries, origin=graph.path.name), f"by {method}")
    return Quantized(made.model, base.folder, info)


def _simplified(graph: Graph) -> Graph:
    """The float graph with BatchNormalization and factors in its weights."""
    proto = simplified(graph.proto, graph.folder)
    if proto is None:
        return graph
    base = Graph(proto, graph.path, graph.sha256, graph.files, is_made=True)
    base.types = infer_types(base)
    return base


class _Calibration:
    """Runs the float model, and gathers how the values of its tensors are spread."""

    def __init__(self, base: Graph, settings: SessionSettings, progress: Progress) -> None:
        self.base, self.progress = base, progress
        self.fetcher = Fetcher(base, settings)

    def distributions(self, feeds: Sequence[Feeds]) -> dict[str, Distribution]:
        """Distributions by tensor, over all samples; without tensors that have no finite value.

        Each sample is run twice, once for the extremes and once for the counts between them, so
        that only one sample's tensors are held at a time.
        """
        tensors = [t for t in quantizable(self.base) if kept_codes(self.base, t) is None]
        chunks = [tensors[at : at + CHUNK] for at in range(0, len(tensors), CHUNK)]
        self.progress.stage("calibrating", 2 * len(chunks) * len(feeds))
        found: dict[str, Distribution] = {}
        for chunk in chunks:
            gathered: dict[str, Spread] = {tensor: Spread() for tensor in chunk}
            for take in (Spread.reach, Spread.count):
                for feed in feeds:
                    interrupts.check()
                    for tensor, value in self.fetcher.each(chunk, feed):
                        take(gathered[tensor], value)
                    self.progress.advance()
            made = {tensor: spread.distribution() for tensor, spread in gathered.items()}
            found |= {tensor: value for tensor, value in made.items() if value is not None}
        return found


def _entries(base: Graph, spread: Mapping[str, Distribution], method: str) -> Iterator[Entry]:
    made: dict[str, Encoding] = {}
    for tensor in quantizable(base):
        source = kept_codes(base, tensor)
        if tensor in spread:
            made[tensor] = _encoding(spread[tensor], method)
        elif source in made:
            made[tensor] = made[source]
        else:
            continue
        yield Entry(tensor, made[tensor])


def _encoding(values: Distribution, method: str) -> Encoding:
    low, high = _range(values, method)
    if not high > low:
        low, high = 0.0, 1.0  # a tensor of zeros: any step holds it
    start, end = code_range(_ACTIVATIONS)
    one, none = np.ones((), np.float32), np.ones((), np.int64)
    like = Quantizer(_ACTIVATIONS, one, none, None, start, end)
    return Encoding.of(quantizer_for(low, high, like))


def _range(values: Distribution, method: str) -> tuple[float, float]:
    """Ends of the range, zero inside."""
    name, _, share = method.partition("=")
    if name == "percentile":
        low, high = values.percentile(float(share))
    elif name == "kl":
        low, high = entropy_range(values)
    else:
        wanted = {"max": "max", "mse": "least squared error"}[name]
        found = (t for t in thresholds(values, _CODES) if t.method == wanted)
        chosen = next(found, None)
        low, high = (chosen.low, chosen.high) if chosen is not None else (values.low, values.high)
    return min(low, 0.0), max(high, 0.0)
