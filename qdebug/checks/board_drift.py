"""``board-drift``: how good the board is beside the simulation, where no source is found."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer
from qdebug.checks.facts import board
from qdebug.run.board_results import BoardLayer
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

_WORSE_DB = 6.0
"""Twice the error of the simulation. Single codes that round otherwise grow with depth, and cost
about as much as quantization itself at the end of a deep network (3 dB)."""
_ENOUGH_DB = 30.0
"""Of an output against float, without a simulation: a good int8 network of average depth has 20 to
35 dB. By judgement."""


def _applies(context: CheckContext) -> str | None:
    return None if board.outputs(context) else "no output of the model is in the dump"


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    explained = (
        board.own_differences(context)
        or board.other_inputs(context)
        or board.unlike(context)
        or context.board.exchanged
    )
    for joined, layer in board.outputs(context):
        if board.is_alone(context):
            yield from _against_float(joined, layer, explained=bool(explained))
            continue
        levels = _levels(joined, layer)
        if levels is None:
            continue
        there, simulated = levels
        told = (
            f"Against float the board's {layer.tensor} has {there:.1f} dB, the simulation "
            f"{simulated:.1f} dB."
        )
        if there >= simulated - _WORSE_DB:
            title = "The board is as good as the simulation"
            yield DRIFT.found("info", title, told, layers=[joined.at], confidence="high")
        elif not explained:
            yield DRIFT.found(
                "warn",
                f"The board drifts away from the simulation before {layer.tensor}",
                f"{told} No single layer that could be measured explains it.",
                "Dump all tensors, so that each layer can be fed with the board's own inputs.",
                layers=[joined.at],
                evidence=[board.table([(joined, layer)])],
            )


def _against_float(joined: JoinedLayer, layer: BoardLayer, *, explained: bool) -> Iterator[Finding]:
    """Where there is no simulation."""
    if layer.state != "compared" or layer.against_float is None:
        return
    there = layer.against_float.sqnr_db
    told = f"Against float the board's {layer.tensor} has {there:.1f} dB."
    if there >= _ENOUGH_DB:
        title = "The board is near to the float model"
        yield DRIFT.found("info", title, told, layers=[joined.at], confidence="high")
    elif not explained:
        yield DRIFT.found(
            "warn",
            f"The board is away from the float model at {layer.tensor}",
            told,
            "Give the quantized model, or the table that the board's was built from: then what "
            "quantization costs is told from what the board does.",
            layers=[joined.at],
            evidence=[board.table([(joined, layer)])],
        )


def _levels(joined: JoinedLayer, layer: BoardLayer) -> tuple[float, float] | None:
    simulated = joined.record.accumulated
    if layer.state != "compared" or layer.against_float is None or simulated is None:
        return None
    return layer.against_float.sqnr_db, simulated.sqnr_db


DRIFT = Check(KINDS["board-drift"], _run, _applies, wanted=board.given)
