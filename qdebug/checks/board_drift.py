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
_LISTED = 4
"""Outputs whose numbers are told beside another finding."""


def _applies(context: CheckContext) -> str | None:
    """Nothing is said of the board as a whole beside a source of its difference."""
    assert context.board is not None
    found = board.outputs(context)
    if not found:
        return "no output of the model is in the dump"
    explained = (
        board.own_differences(context)
        or board.other_inputs(context)
        or board.unlike(context)
        or board.misplaced(context)
        or board.only_there(context)
        or context.board.exchanged
    )
    if not explained:
        return None
    told = [_numbers(context, *item) for item in found if _is_alike(item[1])]
    return "; ".join(["another finding names a source", *filter(None, told[:_LISTED])])


def _run(context: CheckContext) -> Iterator[Finding]:
    judge = _against_float if board.is_alone(context) else _against_simulation
    for joined, layer in board.outputs(context):
        if _is_alike(layer):
            yield from judge(context, joined, layer)
        else:
            yield _unlike(joined, layer)


def _against_simulation(
    context: CheckContext, joined: JoinedLayer, layer: BoardLayer
) -> Iterator[Finding]:
    simulated = joined.record.accumulated
    if layer.against_float is None or simulated is None:
        return
    told = f"{_numbers(context, joined, layer)}."
    if layer.against_float.sqnr_db >= simulated.sqnr_db - _WORSE_DB:
        title = "The board is as good as the simulation"
        if not all(_is_alike(other) for _, other in board.outputs(context)):
            title = f"The board's {layer.tensor} is as good as the simulation's"
        yield DRIFT.found("info", title, told, layers=[joined.at], confidence="high")
        return
    yield DRIFT.found(
        "warn",
        f"The board drifts away from the simulation before {layer.tensor}",
        f"{told} No single layer that could be measured explains it.",
        "Dump all tensors, so that each layer can be fed with the board's own inputs.",
        layers=[joined.at],
        evidence=[board.table([(joined, layer)])],
    )


def _against_float(
    context: CheckContext, joined: JoinedLayer, layer: BoardLayer
) -> Iterator[Finding]:
    """Where there is no simulation."""
    if layer.against_float is None:
        return
    told = f"{_numbers(context, joined, layer)}."
    if layer.against_float.sqnr_db >= _ENOUGH_DB:
        title = "The board is near to the float model"
        yield DRIFT.found("info", title, told, layers=[joined.at], confidence="high")
        return
    yield DRIFT.found(
        "warn",
        f"The board is away from the float model at {layer.tensor}",
        told,
        "Give the quantized model, or the table that the board's was built from: then what "
        "quantization costs is told from what the board does.",
        layers=[joined.at],
        evidence=[board.table([(joined, layer)])],
    )


def _unlike(joined: JoinedLayer, layer: BoardLayer) -> Finding:
    name = joined.pair.float_tensor
    likeness = f" (correlation {layer.likeness:.2f})" if layer.likeness is not None else ""
    return DRIFT.found(
        "warn",
        f"The board's {layer.tensor} is alike nothing in the models",
        f"It has the name and the size of {name}, and other values{likeness}: another input was "
        "dumped, another model, or another order of its values.",
        "Dump all tensors of the board for the same input, the model's input too: then the first "
        "one that differs is named.",
        layers=[joined.at],
        evidence=[board.table([(joined, layer)])],
    )


def _is_alike(layer: BoardLayer) -> bool:
    return layer.state == "compared"


def _numbers(context: CheckContext, joined: JoinedLayer, layer: BoardLayer) -> str:
    """How far an output of the board, and the simulation's, is from the float model's."""
    if layer.against_float is None:
        return ""
    there = f"Against float the board's {layer.tensor} has {layer.against_float.sqnr_db:.1f} dB"
    simulated = joined.record.accumulated
    if board.is_alone(context) or simulated is None:
        return there
    return f"{there}, the simulation {simulated.sqnr_db:.1f} dB"


DRIFT = Check(KINDS["board-drift"], _run, _applies, wanted=board.given)
