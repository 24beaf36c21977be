"""What a model file says about its picture input, and running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdebug.at_work import working_on
from qdebug.errors import ModelError, UsageError
from qdebug.preprocess.graph_front import GraphFront, read_front
from qdebug.preprocess.model_input import ModelInput

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ModelFacts:
    """What a graph says about its picture input."""

    input: ModelInput
    metadata: Mapping[str, str]
    front: GraphFront


def facts_of(model: onnx.ModelProto, folder: Path | str = "") -> ModelFacts:
    """Read the picture input of a graph, its metadata and its first nodes.

    Args:
        model: the model.
        folder: where its external data lies.

    Raises:
        UsageError: the graph has no input.
    """
    import onnx

    weights = {item.name for item in model.graph.initializer}
    inputs = []
    for item in model.graph.input:
        if item.name in weights:
            continue
        tensor = item.type.tensor_type
        shape = tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or None
            for d in tensor.shape.dim
        )
        dtype = str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
        inputs.append(ModelInput(item.name, dtype, shape))
    if not inputs:
        raise UsageError("the model has no inputs", "there is nothing to feed")
    chosen = next((item for item in inputs if item.layout), inputs[0])
    metadata = {item.key: item.value for item in model.metadata_props}
    return ModelFacts(chosen, metadata, read_front(model, chosen.name, str(folder)))


def load_facts(path: Path) -> ModelFacts:
    """Read the facts of a model file.

    Raises:
        ModelError: the file cannot be read.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return facts_of(onnx.load(str(path), load_external_data=False), path.parent)
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror or error}"
        raise ModelError(reason, "give the file of an ONNX model") from error
    except DecodeError as error:
        raise ModelError(
            f"{path.name} is not an ONNX model", "give the float model's .onnx file"
        ) from error


def model_runner(path: Path) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """Return a function that runs a model of one input.

    Raises:
        ModelError: ONNX Runtime cannot load it.
    """
    import onnxruntime

    try:
        with working_on(path.name):
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types
        raise ModelError(f"{path.name} cannot be run: {str(error).splitlines()[0]}") from error
    name = session.get_inputs()[0].name

    def run(tensor: NDArray[Any]) -> Sequence[NDArray[Any]]:
        try:
            with working_on(path.name):
                return [np.asarray(output) for output in session.run(None, {name: tensor})]
        except Exception as error:  # see above
            raise ModelError(f"{path.name} failed: {str(error).splitlines()[0]}") from error

    return run
