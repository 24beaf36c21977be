"""What is known of the board once all dumps were compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qdebug.run.board_results import BoardDump, BoardInfo, BoardLayer

__all__ = ["LEAST_INPUT_DB", "BoardDump", "BoardInfo", "BoardLayer", "BoardOutcome"]

LEAST_INPUT_DB = 30.0
"""SQNR of the board's input from which on it is what the models were fed: an 8-bit input has 40 dB
and more; one resized by another library 30 to 45 (the benches of the input check)."""


@dataclass(frozen=True)
class BoardOutcome:
    """The board beside the simulation.

    Attributes:
        info: the dumps.
        layers: by position.
        steps: step of each layer's quantizer, by position; layers without one are left out.
        again: likeness of a second dump of the same input, by position: the largest difference;
            empty where there is none.
        left: positions at which the board is another than the simulation.
        exchanged: outputs that hold another output's values: its position by position.
        input_reason: what the check of the input says of the board's input; empty where it is
            right, or not in the dump.
        guessed_input: the pipeline of pictures is qdebug's own guess, so that the board's may be
            the right one.
    """

    info: BoardInfo
    layers: Mapping[int, BoardLayer]
    steps: Mapping[int, float]
    again: Mapping[int, float]
    left: frozenset[int] = frozenset()
    exchanged: Mapping[int, int] = field(default_factory=dict)
    input_reason: str = ""
    guessed_input: bool = False
