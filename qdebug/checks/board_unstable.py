"""``board-unstable``: two dumps of one input differ."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts import board
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

_LISTED = 8


def _applies(context: CheckContext) -> str | None:
    assert context.board is not None
    return None if context.board.again else "no second dump of the same input: --board-again"


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    moved = {at: value for at, value in context.board.again.items() if value}
    if not moved:
        return
    first = min(moved)
    name = context.layer(first).name or context.layer(first).pair.float_tensor
    yield UNSTABLE.found(
        "fail",
        "The board gives another result for the same input",
        f"{len(moved)} of {len(context.board.again)} tensors differ between the two dumps, the "
        f"first is {name}, by up to {moved[first]:.4g}.",
        f"Look for memory that is not initialized, overlaps or is still being written around "
        f"`{name}`; dump again with one thread and one core.",
        layers=sorted(moved)[:_LISTED],
        confidence="high",
    )


UNSTABLE = Check(KINDS["board-unstable"], _run, _applies, wanted=board.given)
