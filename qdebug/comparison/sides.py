"""The two sides of a comparison: graph, input contract, preprocessing and feeds of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.tasks import class_names
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.comparison.cutting import load_ends
from qdebug.comparison.slips import check_pair, check_places
from qdebug.errors import ModelError, PairingError, UsageError
from qdebug.graph.describe import describe
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing
from qdebug.options import CompareOptions, ExtractOptions, QuantOptions
from qdebug.preprocess import (
    Contract,
    ImpliedSpec,
    ModelInput,
    PreprocessSpec,
    RawFormat,
    Sample,
    find_samples,
    quant_side,
)
from qdebug.preprocess.graph_front import read_front
from qdebug.preprocess.implied import SpecLike
from qdebug.run.model import CutInfo, EncodingsInfo, ModelInfo, PreprocessInfo
from qdebug.vendors.quant_model import QuantRequest
from qdebug.vendors.reference import resolve_spec

Array = npt.NDArray[Any]
Feeds = dict[str, Array]
PROBED = 256
"""Tensors that pairing by values fetches in one run: it bounds itself how many values are held, and
opening a session takes time with the square of its outputs."""
PairOptions = CompareOptions | ExtractOptions
"""Options that name two models and what both run on."""


@dataclass(frozen=True)
class Side:
    """One model, ready to be fed."""

    graph: Graph
    contract: Contract
    preprocess: PreprocessInfo
    encodings: EncodingsInfo | None = None
    """Of what the graph was made, where a toolchain's file was given."""
    cut: CutInfo | None = None
    """What was cut off of it."""

    def describe(self) -> ModelInfo:
        """What a run says of the model."""
        return replace(describe(self.graph), encodings=self.encodings, cut=self.cut)


def load_sides(options: PairOptions, float_graph: Graph | None = None) -> tuple[Side, Side]:
    """Load both models, or make the second of a toolchain's file, and settle how each is fed.

    Args:
        options: of the command.
        float_graph: the float model, where it is read already.

    Raises:
        ModelError: a model cannot be read.
        EncodingsError: a toolchain's file is unusable, or of another model.
        UsageError: the two do not have the same number of inputs.
        InputError: a spec is not understood.
    """
    slips = isinstance(options, CompareOptions) and options.refuse_slips
    if slips:
        check_places((str(options.float_model), str(options.quant_model)), arguments_of(options))
    request = quant_request(options, options.quant_model)
    given = load_graph(Path(options.float_model)) if float_graph is None else float_graph
    ends = load_ends(given, request, options.outputs)
    float_graph, quant_graph = ends.graphs
    if slips:
        check_pair((float_graph, quant_graph), arguments_of(options))
    float_inputs, quant_inputs = _inputs(float_graph), _inputs(quant_graph)
    if len(float_inputs) != len(quant_inputs):
        counts = f"{len(float_inputs)} and {len(quant_inputs)}"
        raise UsageError(
            f"the models have {counts} inputs",
            "compare graphs that are fed alike; cut preprocessing nodes off where they differ",
        )
    metadata = {**quant_graph.metadata, **float_graph.metadata}
    chosen, picture = _float_spec(
        (float_graph, quant_graph), options.preprocess, metadata, arguments_of(options)
    )
    other = _quant_spec(
        options.quant_preprocess, chosen, float_inputs[picture], quant_inputs[picture], metadata
    )
    return (
        Side(float_graph, Contract(float_inputs, chosen.spec), _info(chosen), cut=ends.cuts[0]),
        Side(
            quant_graph,
            Contract(quant_inputs, other.spec),
            _info(other),
            ends.quant.info,
            ends.cuts[1],
        ),
    )


def float_side(graph: Graph, given: SpecLike | None, inputs: Sequence[str] = ()) -> Side:
    """A float model alone, with how it is fed, for a twin that is made of it.

    Args:
        graph: the model.
        given: what ``-p`` says.
        inputs: INPUT arguments, whose pictures the pipeline is inferred from without ``given``.

    Raises:
        UsageError: it has no inputs, or its normalization is not known for sure: the twin's ranges
            would be those of a guess.
        InputError: the spec is not understood.
    """
    from qdebug.preprocess.infer import NORMALIZATION  # here: a comparison with -p infers nothing

    chosen, _ = _float_spec((graph, graph), given, graph.metadata, inputs)
    doubt = next((d for d in chosen.doubts if d.startswith(NORMALIZATION)), None)
    if doubt is not None:
        raise UsageError(f"calibration needs the pipeline; doubtful is {doubt}", chosen.notes[-1])
    return Side(graph, Contract(_inputs(graph), chosen.spec), _info(chosen))


def settled(side: Side) -> ImpliedSpec | None:
    """A side's pipeline as what ``-p`` takes: it keeps its origin, and is not inferred again.

    None where there is none.
    """
    info = side.preprocess
    if side.contract.spec is None:
        return None
    return ImpliedSpec(side.contract.spec, info.origin, info.notes, info.doubts)


def guess_told(side: Side) -> str:
    """A sentence on a pipeline that nobody gave, with its doubts; empty where somebody gave it."""
    info = side.preprocess
    if side.contract.spec is None or info.origin not in ("inferred", "assumed"):
        return ""
    return "; ".join(
        (f"the pipeline is {info.origin}: {info.spec}", *(f"doubtful: {d}" for d in info.doubts))
    )


def _float_spec(
    graphs: tuple[Graph, Graph],
    given: SpecLike | None,
    metadata: Mapping[str, str],
    arguments: Sequence[str],
) -> tuple[ImpliedSpec, int]:
    """The float side's pipeline with its origin, and the position of the picture's input."""
    inputs = tuple(_inputs(graph) for graph in graphs)
    picture = next((i for i, item in enumerate(inputs[0]) if item.layout), 0)
    item, graph = inputs[0][picture], graphs[0]
    front = read_front(graph.proto, item.name, str(graph.folder))
    chosen = resolve_spec(given, item, metadata, front)
    if given is None and chosen.origin == "assumed" and item.layout:
        from qdebug.comparison.infer import inferred_spec  # here: with -p nothing is inferred

        chosen = inferred_spec(chosen, graphs, (item, inputs[1][picture]), arguments)
    return chosen, picture


def quant_request(options: QuantOptions, quant_model: str | Path) -> QuantRequest:
    """What the options say of the quant model."""
    second, names = options.qtable, options.names
    return QuantRequest(
        Path(quant_model),
        options.quant_format,
        Path(second) if second is not None else None,
        Path(names) if names is not None else None,
    )


def samples_of(options: PairOptions, sides: tuple[Side, Side]) -> list[Sample]:
    """What both models are run on, in the order given.

    Raises:
        InputError: nothing is found, or a file does not fit the models.
    """
    return find_samples(
        arguments_of(options),
        sides[0].contract,
        sides[1].contract,
        raw=RawFormat(options.shape, options.dtype),
        limit=options.limit,
    )


def arguments_of(options: PairOptions) -> list[str]:
    """INPUT arguments as a list."""
    given = options.inputs
    return [str(given)] if isinstance(given, (str, Path)) else [str(item) for item in given]


def fed_alike(float_side: Side, quant_side: Side) -> bool:
    """Whether both models take the very same tensors."""
    pairs = zip(float_side.contract.inputs, quant_side.contract.inputs, strict=True)
    same = all((f.dtype, f.concrete_shape) == (q.dtype, q.concrete_shape) for f, q in pairs)
    return same and float_side.contract.spec == quant_side.contract.spec


def feeds_of(sample: Sample, float_side: Side, quant_side: Side) -> tuple[Feeds, Feeds]:
    """What both models are fed with for one sample, by input name.

    Raises:
        InputError: a file of the sample is unusable.
    """
    float_feeds = sample.load("float")
    if fed_alike(float_side, quant_side):
        names = zip(quant_side.contract.inputs, float_side.contract.inputs, strict=True)
        return float_feeds, {q.name: float_feeds[f.name] for q, f in names}
    return float_feeds, sample.load("quant")


def pair_sides(
    sides: tuple[Side, Side],
    settings: tuple[SessionSettings, SessionSettings],
    first: tuple[Feeds, Feeds],
) -> Pairing:
    """Pair the tensors of both models.

    Args:
        sides: float and quant.
        settings: how the two are run, where values have to decide.
        first: what both are fed with for one sample.

    Raises:
        PairingError: no tensor has a counterpart.
        ModelError: ONNX Runtime cannot run one of the models.
    """
    graphs = sides[0].graph, sides[1].graph
    fetchers = [Fetcher(*side, PROBED) for side in zip(graphs, settings, strict=True)]

    def probe(side: Literal["float", "quant"], tensors: Sequence[str]) -> Mapping[str, Array]:
        number = 0 if side == "float" else 1
        return fetchers[number].values(tensors, first[number])

    pairing = pair_graphs(*graphs, probe)
    if not pairing.pairs:
        raise PairingError(
            f"no tensor of {graphs[0].path.name} has a counterpart in {graphs[1].path.name}",
            "are these two versions of one network?",
        )
    return pairing


def _inputs(graph: Graph) -> tuple[ModelInput, ...]:
    if not graph.inputs:
        raise UsageError(f"{graph.path.name} has no inputs", "there is nothing to feed")
    return tuple(_model_input(graph, name) for name in graph.inputs)


def _model_input(graph: Graph, name: str) -> ModelInput:
    known = graph.type_of(name)
    if known.elem_type == onnx.TensorProto.UNDEFINED:
        raise ModelError(f"{graph.path.name} does not say which type its input {name!r} has")
    dtype = str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(known.elem_type)))
    return ModelInput(name, dtype, known.shape or ())


def _quant_spec(
    given: SpecLike | None,
    reference: ImpliedSpec,
    float_input: ModelInput,
    quant_input: ModelInput,
    metadata: Mapping[str, str],
) -> ImpliedSpec:
    if given is not None:
        return _placed(resolve_spec(given, quant_input, metadata), reference.spec)
    if reference.spec is None:
        return reference
    adapted = quant_side(reference.spec, float_input, quant_input)
    if adapted.spec == reference.spec:
        return reference
    notes = (*reference.notes, *adapted.notes)
    return ImpliedSpec(adapted.spec, reference.origin, notes, reference.doubts)


def _placed(given: ImpliedSpec, reference: PreprocessSpec | None) -> ImpliedSpec:
    """Place pictures as the float side does where the quant side's settings do not say it."""
    if given.spec is None or reference is None:
        return given
    placed = given.spec.placed_like(reference)
    if placed is given.spec:
        return given
    return ImpliedSpec(placed, given.origin, (*given.notes, "the geometry is the float side's"))


def _info(chosen: ImpliedSpec) -> PreprocessInfo:
    return PreprocessInfo(
        str(chosen.spec) if chosen.spec else "", chosen.origin, chosen.notes, chosen.doubts
    )


def names_in(graph: Graph) -> Iterator[str]:
    """Names of the graph's nodes and tensors, and of the classes of its metadata."""
    yield from (node.label for node in graph.nodes)
    yield from (name for node in graph.nodes for name in (*node.inputs, *node.outputs))
    yield from (*graph.inputs, *graph.outputs, *class_names(graph.metadata).values())


def model_files(sides: Sequence[Side]) -> list[Path]:
    """The files of the models, those of their external data included."""
    found = []
    for side in sides:
        graph = side.graph
        external = {
            entry.value
            for tensor in graph.external
            for entry in tensor.external_data
            if entry.key == "location"
        }
        found += [graph.path, *(graph.folder / name for name in sorted(external))]
    return list(dict.fromkeys(path.absolute() for path in found))
