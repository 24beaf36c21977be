"""What is said of a layer on the board: one place for the page, the browser and the console."""

from __future__ import annotations

from qdebug.metrics.metric import LEAD
from qdebug.run.board_results import BoardLayer
from qdebug.run.model import Layer, Run
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel, number
from qdebug.vocabulary.states import BOARD_WORDS

HEADINGS = ("against simulation", "against float", "own error")
"""The columns that a board adds to a layer's numbers; own is what the layer itself adds."""


def has_board(run: Run) -> bool:
    """Whether the run has a third column."""
    return run.board is not None


def board_db(layer: Layer) -> float | None:
    """SQNR of the simulation against the board in dB."""
    return board_numbers(layer, LEAD[0].name)[0]


def board_numbers(layer: Layer, metric: str) -> tuple[float | None, ...]:
    """A metric in the columns of ``HEADINGS``."""
    parts = ("against_quant", "against_float", "own")
    return tuple(getattr(getattr(layer.board, part, None), metric, None) for part in parts)


def board_facts(layer: Layer) -> list[tuple[str, str]]:
    """Name and value of what else is known; nothing without a board."""
    board = layer.board
    if board is None:
        return []
    state = BOARD_WORDS[board.state] + (f": {visible(board.reason)}" if board.reason else "")
    mapped = f"{visible(board.tensor)}, found by {board.mapped_by}" if board.tensor else ""
    facts = [
        ("on the board", state),
        ("board's tensor", mapped),
        ("layout", board.layout),
        ("a code is worth", _scale(board)),
        ("own error there", _own(board)),
    ]
    return [(name, value) for name, value in facts if value]


def _scale(board: BoardLayer) -> str:
    return f"{number(board.scale)} ({board.scale_from})" if board.scale is not None else ""


def _own(board: BoardLayer) -> str:
    """What the layer adds itself, in steps of its quantizer."""
    parts = []
    if board.own is not None:
        parts.append(f"{decibel(board.own.sqnr_db)} dB")
    if board.own_steps is not None:
        parts.append(f"{number(board.own_steps)} steps in the mean")
    if board.own_gain is not None:
        parts.append(f"{number(board.own_gain)} times the simulation's values")
    if board.own_offset_steps is not None:
        parts.append(f"{number(board.own_offset_steps)} steps off")
    return ", ".join(parts)
