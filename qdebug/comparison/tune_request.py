"""What a request for a tuning says, read; and writing the model that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from qdebug.analysis.tasks import Task
from qdebug.cure.network import Network
from qdebug.cure.plan import Budget
from qdebug.errors import UsageError
from qdebug.graph.describe import describe
from qdebug.graph.model import Graph
from qdebug.run.atomic import write_whole

_TARGET_DB = 20.0
"""What is asked of the outputs where no task is known: a hundredth of the power is error. By
judgement."""


def real_outputs(graphs: tuple[Graph, Graph], names: Mapping[str, str]) -> dict[str, str]:
    """Outputs in floating point on both sides: a loss is taken at these."""
    kinds = ("float", "undefined")
    found = {
        f: q
        for f, q in names.items()
        if graphs[0].type_of(f).dtype in kinds and graphs[1].type_of(q).dtype in kinds
    }
    if not found:
        raise UsageError(
            "the two models have no floating-point output in common",
            "name tensors before the last step with --compare-at",
        )
    return found


def check_tunable(network: Network) -> None:
    """Refuse a model whose quantizers no plan can set."""
    if network.sites:
        return
    graph = network.quant_graph
    form = describe(graph).format
    raise UsageError(
        f"{graph.path.name} has nothing to tune: {_UNTUNABLE.get(form, _UNTUNABLE['qdq'])}",
        "make the QDQ form of it (quant_format=QuantFormat.QDQ) with fixed ranges",
    )


_UNTUNABLE = {
    "dynamic": "the ranges of a dynamically quantized model are found while it runs",
    "float16": "a float16 model has no integer codes",
    "float": "it holds no quantizers",
    "qoperator": "none of its operators on codes can be written out as QDQ",
    "qdq": "none of its activation quantizers has one fixed scale of 8 or 16 bits",
}


def weighted_tensor(part: str) -> tuple[str, float]:
    """``TENSOR[:weight]``; tensor names may hold colons themselves."""
    name, colon, weight = part.rpartition(":")
    try:
        return (name, float(weight)) if colon and name else (part, 1.0)
    except ValueError:
        return part, 1.0


def budget_of(given: str | None) -> Budget:
    """The budget of ``--budget``, which was checked when it was read."""
    if given is None:
        return Budget()
    if given.startswith("macs="):
        return Budget(macs=float(given.removeprefix("macs=").removesuffix("%")) / 100)
    return Budget(units=int(given))


def target_of(task: Task | None) -> float:
    """What the task's number, or else the SQNR of the outputs, has to reach."""
    return task.limits.warn if task is not None and task.limits is not None else _TARGET_DB


def has_external_data(graph: Graph) -> bool:
    """Whether weights lie in files beside the model."""
    return any(tensor.external_data for tensor in graph.initializers.values())


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, its weights beside it where they are too large for one message."""
    if model.ByteSize() < _LARGEST:
        write_whole(path, model.SerializeToString())
        return
    onnx.save(
        model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
    )


_LARGEST = 2**31 - 1
"""Bytes of a protobuf message."""
