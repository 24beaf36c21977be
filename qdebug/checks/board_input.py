"""``board-input``: the board was fed another input than the models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts import board
from qdebug.run.board_results import BoardDump
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

_LISTED = 16


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    misplaced = board.misplaced(context)
    if misplaced:
        yield _misplaced(context, misplaced)
        return
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


def _misplaced(context: CheckContext, dumps: Sequence[BoardDump]) -> Finding:
    """Dumps beside the wrong samples: nothing else is said of inputs before they are put right."""
    assert context.board is not None
    first, count = dumps[0], len(context.board.info.dumps)
    assert first.likeness is not None
    assert first.likeness_there is not None
    rows = [[d.name, d.sample, d.likeness, d.fits, d.likeness_there] for d in dumps]
    columns = ["dump", "taken for", "correlation", "fits", "correlation there"]
    held = {"columns": columns, "rows": rows[:_LISTED]}
    taken = board.MATCHED[first.matched_by]
    return INPUT.found(
        "fail",
        f"The dump {first.name} fits {first.fits} better than {first.sample}",
        f"{len(dumps)} of {count} dumps stand beside another input: {first.name}, taken for "
        f"{first.sample} {taken}, correlates with it to {first.likeness:.3f}, and with "
        f"{first.fits} to {first.likeness_there:.3f}.",
        "Name each dump after its own input, and compare again; the numbers over all dumps are "
        "those of wrong pairs until then.",
        layers=[item[0].at for item in (*board.inputs(context), *board.outputs(context))][:1],
        evidence=[Evidence("table", "Dumps beside another input", held)],
        confidence="high",
    )


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
