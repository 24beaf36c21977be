"""``qdebug.export``: encodings, and the fixes of a run, as a toolchain's own file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from qdebug.comparison.layers import INPUT
from qdebug.comparison.sides import quant_request
from qdebug.encodings.application import BEFORE
from qdebug.encodings.extraction import extract_encodings
from qdebug.encodings.matching import encodings_in_float_names
from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.placing import Names
from qdebug.encodings.source import Source
from qdebug.errors import UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.pairing import pair_graphs
from qdebug.options import ExportOptions, takes
from qdebug.run.atomic import write_whole
from qdebug.run.model import Layer, QuantInfo, Run
from qdebug.run.store import load_run
from qdebug.vendors import registry
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.encodings import Change, ToolchainEncodings, Writer, Written
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_files import names_graph
from qdebug.vendors.quant_model import is_onnx, read_graph

_RUN_SUFFIXES = (".qdrun", ".zip", ".html", ".htm")
_OUT_OF_PLACE = ("Constant", "Identity")


@takes(ExportOptions)
def export(options: ExportOptions) -> Written:
    """Write encodings, and what a run found to change, as a toolchain's file.

    Raises:
        QdebugError: bad input, or something that the toolchain cannot be told.
    """
    output = Path(options.output)
    part = _part(options.vendor)
    able = _writers(part, options.form, output)
    if output.exists() and not options.force:
        raise UsageError(f"{output} exists already", "use --force to replace it")
    written = _written(able, _named(_change(options), options, part))
    write_whole(output, written.content)
    return written


def _part(name: str) -> ToolchainEncodings:
    vendor = registry.toolchain(name, "encodings")
    able = [v.name for v, p in registry.loaded("encodings") if p.writers]
    part: ToolchainEncodings | None = registry.load(vendor, "encodings") if vendor else None
    if part is None or not part.writers:
        raise UsageError(f"no file of {name!r} can be written", f"known: {', '.join(able)}")
    return part


def _writers(part: ToolchainEncodings, form: str | None, output: Path) -> Sequence[Writer]:
    """The writer of a name, else the one that a file of that name belongs to, else all."""
    if form is not None:
        found = [writer for writer in part.writers if writer.name == form]
        if not found:
            known = ", ".join(f"{writer.name} ({writer.title})" for writer in part.writers)
            raise UsageError(f"it has no file {form!r}", f"--as takes one of {known}")
        return found
    named = [w for w in part.writers if any(output.name.endswith(s) for s in w.suffixes)]
    return named[:1] or part.writers


def _written(able: Sequence[Writer], change: Change) -> Written:
    """What the first of some writers makes that can say the change; else the first's refusal."""
    first, *others = able
    try:
        return first.write(change)
    except UsageError:
        if not others:
            raise
        with suppress(UsageError):
            return _written(others, change)
        raise


def _change(options: ExportOptions) -> Change:
    path = Path(options.source)
    given = options.float_model
    float_graph = load_graph(Path(given)) if given is not None else None
    if path.is_dir() or path.suffix.lower() in _RUN_SUFFIXES:
        return _of_record(path, float_graph)
    if options.quant_format is None and is_onnx(path):
        return of_graph(read_graph(path).graph, float_graph)
    if float_graph is None:
        raise UsageError(
            f"{path.name} is neither a run nor a graph",
            "a toolchain's file goes with its float model: give --float FLOAT",
        )
    request = replace(quant_request(options, path), names=None)
    return of_graph(load_quant(request, float_graph).graph, float_graph)


def of_graph(graph: Graph, float_graph: Graph | None = None) -> Change:
    """Everything that a quantized graph says; it asks for no change.

    Args:
        graph: quantized.
        float_graph: what it was made from, whose names are then used.
    """
    if float_graph is not None:
        encodings = encodings_in_float_names(graph, float_graph)
        return Change(encodings, _layers(float_graph), model=graph, float_graph=float_graph)
    return Change(extract_encodings(graph), _layers(graph), model=graph)


def of_tuned(graph: Graph, float_graph: Graph | None, kept: Collection[str]) -> Change:
    """Everything that a repaired model says, and which of its tensors have more than 8 bits.

    Args:
        graph: the repaired model.
        float_graph: what it was made from, whose names are then used.
        kept: float tensors with more bits.
    """
    change = of_graph(graph, float_graph)
    return replace(change, keep=tuple(layer for layer in change.layers if layer.tensor in kept))


def _of_record(path: Path, float_graph: Graph | None) -> Change:
    """What a run says to change; of the record of a tuning, what its model says."""
    run = load_run(path, as_stored=True)
    tuning = run.tuning
    if tuning is None or not tuning.files:
        return replace(of_run(run), float_graph=float_graph)
    model = path.with_name(tuning.files["model"])
    if not model.is_file():
        raise UsageError(
            f"{model} is not there: it is the repaired model that {path.name} is about",
            "export the model itself where it lies elsewhere",
        )
    return of_tuned(read_graph(model).graph, float_graph, tuning.kept)


def _layers(graph: Graph) -> tuple[FloatLayer, ...]:
    quantizers = QUANTIZE_OPS | DEQUANTIZE_OPS
    return tuple(
        FloatLayer(node.label, node.op, tensor.removesuffix(BEFORE))
        for node in graph.nodes
        for tensor in filter(None, node.outputs)
        if node.op not in quantizers and node.op not in _OUT_OF_PLACE
    )


def of_run(run: Run) -> Change:
    """What a run knows of the quantization, and what its findings say to change."""
    made = (layer for layer in run.layers if layer.op != INPUT)
    layers = {x.float_tensor: FloatLayer(x.name, x.op, x.float_tensor) for x in made}
    entries = tuple(_entries(run.layers))
    encodings = Encodings(entries, origin=run.models.quant.file)
    keep: dict[str, None] = {}
    ranges: dict[str, BetterRange] = {}
    for finding in run.findings:
        if finding.status not in ("fail", "warn"):
            continue
        for item in finding.evidence:
            keep |= dict.fromkeys(t for t in item.data.get("keep", ()) if t in layers)
            better = item.data.get("range")
            if better and better["tensor"] in layers:
                tensor, low, high = better["tensor"], float(better["low"]), float(better["high"])
                ranges[tensor] = BetterRange(layers[tensor], low, high, clips=False)
    ordered = tuple(layer for tensor, layer in layers.items() if tensor in keep)
    return Change(encodings, tuple(layers.values()), ordered, tuple(ranges.values()))


def _entries(layers: Iterable[Layer]) -> Iterator[Entry]:
    for layer in layers:
        if layer.quant is not None:
            yield Entry(layer.float_tensor, _encoding(layer.quant))


def _encoding(quant: QuantInfo) -> Encoding:
    return Encoding.linear(
        quant.dtype,
        np.asarray(quant.scale, np.float32),
        np.asarray(quant.zero_point, np.int64),
        quant.axis,
    )


def _alike(float_graph: Graph | None, graph: Graph) -> dict[str, str]:
    """Tensors of the toolchain's graph by those of the float model, found by structure."""
    if float_graph is None:
        return {}
    pairs = pair_graphs(float_graph, graph).pairs
    return {pair.float_tensor: pair.raw for pair in pairs}


def _named(change: Change, options: ExportOptions, part: ToolchainEncodings) -> Change:
    """The change in the names of the toolchain's own graph, or with its file to be changed."""
    if options.names is None:
        return change
    path = Path(options.names)
    graph = names_graph(path)
    if graph is None:
        return replace(change, base=Source.read(path))
    names = Names(graph, part.rules)
    alike = _alike(change.float_graph, graph)

    def found(layer: FloatLayer) -> FloatLayer | None:
        place = names.find(layer.tensor) or names.find(layer.node)
        tensor = place[0] if place else alike.get(layer.tensor)
        node = graph.producer.get(tensor) if tensor else None
        return FloatLayer(node.label, node.op, tensor) if node and tensor else None

    by_tensor = {layer.tensor: found(layer) for layer in change.layers}
    missing = [layer.node for layer in change.keep if by_tensor.get(layer.tensor) is None]
    if missing:
        raise UsageError(
            f"{path.name} has no node or tensor for {missing[0]!r}",
            "give the graph that the toolchain made of this float model; with --float FLOAT, what "
            "was renamed is found by structure",
        )
    keep = [by_tensor[layer.tensor] for layer in change.keep]
    return replace(
        change,
        encodings=Encodings(tuple(_renamed(change.encodings, names, alike))),
        layers=_layers(graph),
        float_graph=graph,
        keep=tuple(layer for layer in keep if layer is not None),
        ranges=tuple(
            replace(item, layer=layer)
            for item in change.ranges
            if (layer := by_tensor.get(item.layer.tensor)) is not None
        ),
    )


def _renamed(encodings: Encodings, names: Names, alike: Mapping[str, str]) -> Iterator[Entry]:
    for entry in encodings.entries:
        place = names.find(entry.name)
        name = place[0] if place is not None else alike.get(entry.name)
        if name is not None:
            yield replace(entry, name=name)
