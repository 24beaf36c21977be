"""What a request for a tuning says, read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdebug.analysis.tasks import Task
from qdebug.cure.network import Network
from qdebug.cure.plan import Budget
from qdebug.errors import UsageError
from qdebug.graph.describe import describe
from qdebug.graph.model import Graph

_TARGET_DB = 20.0
"""What is asked of the outputs where no task is known: a hundredth of the power is error. By
judgement."""


def record_of(output: Path) -> Path:
    """Where the record of a tuned model lies."""
    return output.with_suffix(".qdtune")


def journal_of(output: Path) -> Path:
    """Where measurements are kept until a search ends by itself."""
    return output.with_name(f".{output.stem}.tune")


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


def compared_at(given: str | None, network: Network) -> dict[str, float] | None:
    """The tensors of ``--compare-at`` with their weights."""
    if given is None:
        return None
    found = {}
    for part in given.split(","):
        name, weight = _weighted_tensor(part.strip())
        if not network.can_read(name):
            raise UsageError(
                f"--compare-at: the two models have no tensor {name!r} in common",
                "name tensors of the float graph, TENSOR[:weight],...",
            )
        found[name] = weight
    return found


def _weighted_tensor(part: str) -> tuple[str, float]:
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
