"""The two sides of a comparison: graph, input contract and preprocessing of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from qdebug.errors import UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.preprocess import (
    Contract,
    ImpliedSpec,
    ModelInput,
    PreprocessSpec,
    quant_side,
    resolve_spec,
)
from qdebug.run.model import PreprocessInfo

SpecLike = PreprocessSpec | ImpliedSpec | str
"""A spec, a spec with its origin, or what ``-p`` takes."""


@dataclass(frozen=True)
class Side:
    """One model, ready to be fed."""

    graph: Graph
    contract: Contract
    preprocess: PreprocessInfo


def load_sides(
    float_model: Path,
    quant_model: Path,
    preprocess: SpecLike | None,
    quant_preprocess: SpecLike | None,
) -> tuple[Side, Side]:
    """Load both models and settle how each is fed.

    Raises:
        ModelError: a model cannot be read.
        UsageError: the two do not have the same number of inputs.
        InputError: a spec is not understood.
    """
    float_graph, quant_graph = load_graph(float_model), load_graph(quant_model)
    float_inputs, quant_inputs = _inputs(float_graph), _inputs(quant_graph)
    if len(float_inputs) != len(quant_inputs):
        counts = f"{len(float_inputs)} and {len(quant_inputs)}"
        raise UsageError(
            f"the models have {counts} inputs",
            "compare graphs that are fed alike; cut preprocessing nodes off where they differ",
        )
    picture = next((i for i, item in enumerate(float_inputs) if item.layout), 0)
    metadata = {**quant_graph.metadata, **float_graph.metadata}
    chosen = resolve_spec(preprocess, float_inputs[picture], metadata)
    other = _quant_spec(
        quant_preprocess, chosen, float_inputs[picture], quant_inputs[picture], metadata
    )
    return (
        Side(float_graph, Contract(float_inputs, chosen.spec), _info(chosen)),
        Side(quant_graph, Contract(quant_inputs, other.spec), _info(other)),
    )


def _inputs(graph: Graph) -> tuple[ModelInput, ...]:
    if not graph.inputs:
        raise UsageError(f"{graph.path.name} has no inputs", "there is nothing to feed")
    return tuple(_model_input(graph, name) for name in graph.inputs)


def _model_input(graph: Graph, name: str) -> ModelInput:
    known = graph.type_of(name)
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
        return resolve_spec(given, quant_input, metadata)
    if reference.spec is None:
        return reference
    adapted = quant_side(reference.spec, float_input, quant_input)
    if adapted.spec == reference.spec:
        return reference
    return ImpliedSpec(adapted.spec, reference.origin, (*reference.notes, *adapted.notes))


def _info(chosen: ImpliedSpec) -> PreprocessInfo:
    return PreprocessInfo(str(chosen.spec) if chosen.spec else "", chosen.origin, chosen.notes)
