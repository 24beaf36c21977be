"""The float model with the metrics in its nodes' metadata, for Netron and Model Explorer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.errors import ModelError, UsageError
from qdebug.metrics.metric import LEAD
from qdebug.reporters.base import Reporter, write_file
from qdebug.reporters.text import local_db, sensitivity_db
from qdebug.run.model import Layer, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel, percent

if TYPE_CHECKING:
    import onnx

_PREFIX = "qdebug."


class OnnxReporter(Reporter):
    """An annotated copy of the float model. It needs the model beside the run."""

    suffixes = (".onnx",)

    def render(self, run: Run) -> bytes:
        """Not possible from a run alone.

        Raises:
            UsageError: always; a run does not hold the model.
        """
        raise UsageError(
            "an annotated .onnx needs the float model, which a run does not hold",
            f"give it with --model {visible(run.models.float.file)}",
        )

    def write_with_model(self, run: Run, path: Path, model: Path, force: bool = False) -> Path:
        """Write the annotated copy.

        Weights that lie in files beside the model are referenced where they are, so ``path``
        has to be in the model's folder for such models.

        Raises:
            ModelError: the model cannot be read, or is not the run's float model.
            UsageError: ``path`` exists and ``force`` is false.
        """
        graph = _load(run, model)
        annotate(graph, run)
        return write_file(path, graph.SerializeToString(deterministic=True), force)


def annotate(model: onnx.ModelProto, run: Run) -> int:
    """Add the metrics of each layer to the node that makes its float tensor.

    Returns:
        How many nodes were annotated.
    """
    # A run that was read has visible names; the model has them as they are.
    layers = {visible(layer.float_tensor, lines=True): layer for layer in run.layers}
    count = 0
    for node in model.graph.node:
        names = (visible(name, lines=True) for name in node.output)
        found = next((layers[name] for name in names if name in layers), None)
        if found is not None:
            count += 1
            for key, value in _metadata(found):
                node.metadata_props.add(key=_PREFIX + key, value=value)
    model.metadata_props.add(key=f"{_PREFIX}verdict", value=run.verdict.status)
    model.metadata_props.add(key=f"{_PREFIX}reason", value=visible(run.verdict.reason))
    return count


def _load(run: Run, path: Path) -> onnx.ModelProto:
    import hashlib

    import onnx

    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:
        raise ModelError(f"{path} is not a readable ONNX model: {error}") from error
    if hashlib.sha256(data).hexdigest() != run.models.float.sha256:
        raise ModelError(
            f"{path.name} is not the float model of this run: its sha256 differs",
            f"the run was made with {visible(run.models.float.file)}",
        )
    return model


def _metadata(layer: Layer) -> list[tuple[str, str]]:
    values = [
        ("layer", str(layer.index)),
        ("state", layer.state),
        ("role", layer.role or ""),
        *(
            (
                f"accumulated_{metric.name}",
                metric.write(getattr(layer.accumulated, metric.name, None)),
            )
            for metric in LEAD
        ),
        ("local_sqnr_db", decibel(local_db(layer))),
        ("sensitivity_sqnr_db", decibel(sensitivity_db(layer))),
        ("clipped", percent(layer.clipped)),
        ("quant_tensor", visible(layer.quant_tensor)),
    ]
    return [(key, value) for key, value in values if value]


onnx_model = OnnxReporter()
