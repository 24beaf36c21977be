"""``board-build``: the board runs another model, or another build of it."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts import board
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.vocabulary.numbers import plural


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    if board.is_other_table(context) and not board.is_other_input(context):
        others = board.other_steps(context)
        joined, layer = others[0]
        yield BUILD.found(
            "warn",
            "The board was built from other ranges than the simulation",
            f"{len(others)} layers lie on another grid on the board, the first is {joined.name}: "
            f"its step is {layer.step:.5g} there and {context.board.steps[joined.at]:.5g} in the "
            "simulation.",
            "Compare with the model that was quantized from the board's own table, or build the "
            "board's model from this one's.",
            layers=[joined.at],
            evidence=[board.table(others)],
            confidence="high",
        )
        return
    rounded = board.only_there(context)
    if rounded and not board.is_other_input(context):
        joined, layer = rounded[0]
        count = plural(len(rounded), "layer lies", "layers lie")
        yield BUILD.found(
            "warn",
            "The board rounds layers that the simulation keeps in float",
            f"{count} on a grid on the board and on none in the simulation, the first is "
            f"{joined.name}: its step there is {layer.step:.5g}.",
            "Compare with the model that the board's was built from, or build the board's with the "
            "same layers in float.",
            layers=[item[0].at for item in rounded],
            evidence=[board.table(rounded)],
            confidence="high",
        )
        return
    if not board.is_other_build(context) or board.is_other_input(context):
        return
    wrong, compared = board.own_differences(context), list(board.on_board(context))
    yield BUILD.found(
        "fail",
        "The board runs another model",
        f"{len(wrong)} of {len(compared)} layers compute something else than the simulation from "
        "the board's own inputs.",
        "Build the board's model from this quantized one, from the same table and weights, and "
        "look at the build's date.",
        layers=[wrong[0][0].at],
        evidence=[board.table(wrong)],
    )


BUILD = Check(KINDS["board-build"], _run, wanted=board.given)
