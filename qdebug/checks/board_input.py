"""``board-input``: the board was fed another input than the models."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts import board
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    for joined, layer in board.other_inputs(context):
        assert layer.against_quant is not None
        seen = (
            f"{layer.tensor} of the dump and what the models were fed agree to "
            f"{layer.against_quant.sqnr_db:.1f} dB. {context.board.input_reason}"
        )
        guessed = context.board.guessed_input
        advice = (
            "Feed the board what the pipeline makes, then dump again: every later layer follows."
        )
        if guessed:
            advice = "The pipeline is a guess: say with -p what the board is fed with. " + advice
        yield INPUT.found(
            "warn" if guessed else "fail",
            f"The board was fed another {joined.pair.float_tensor} than the models",
            seen.strip(),
            advice,
            layers=[joined.at],
            evidence=[board.table([(joined, layer)])],
            confidence="low" if guessed else "high",
        )
    if not board.inputs(context):
        yield from _unlike(context)


def _unlike(context: CheckContext) -> Iterator[Finding]:
    """Without the input in the dump: values that fit nothing."""
    layers, unlike = list(board.on_board(context)), board.unlike(context)
    if not unlike:
        return
    assert context.board is not None
    yield INPUT.found(
        "warn" if context.board.guessed_input else "fail",
        "The dump is of another input",
        f"{len(unlike)} of {len(layers)} tensors have the right name and size, and values that are "
        "alike nothing in either model.",
        "Give the dump of the first INPUT, or the INPUT that was dumped. If it is that one, the "
        "board runs another model.",
        layers=[unlike[0][0].at],
        evidence=[board.table(unlike)],
    )


INPUT = Check(KINDS["board-input"], _run, wanted=board.given)
