"""The kinds that the checks of a board's dump raise."""

from __future__ import annotations

from functools import partial

from qdebug.run.kinds.kind import Family, Kind

_kind = partial(Kind, family=Family.BOARD, gate="board")

BOARD_KINDS: tuple[Kind, ...] = (
    _kind("QD701", "board-input", passed="The board was fed what the models were fed"),
    _kind("QD702", "board-build", passed="The board runs this model"),
    _kind(
        "QD703", "board-layer", passed="Every layer of the board computes what the simulation does"
    ),
    _kind("QD704", "board-layout", passed="The board's outputs lie as the float model's do"),
    _kind("QD705", "board-unstable", passed="The board gives the same for the same input"),
    _kind("QD706", "board-drift", passed="The board is as good as the simulation"),
)
"""In the order in which they are to be mended."""
