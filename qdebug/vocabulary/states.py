"""The words for states, statuses, gates and roles, and which states are alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdebug.run.board_results import BoardState
    from qdebug.run.model import Gate, Role, State

STATE_WORDS: Mapping[State, str] = {
    "ok": "compared",
    "identical": "identical",
    "zero_both": "zero on both sides",
    "zero_quant": "zero in the quant run",
    "zero_float": "zero in the float run",
    "nonfinite": "NaN or Inf",
    "low_signal": "low signal",
    "not_compared": "not compared",
}
BROKEN: tuple[State, ...] = ("nonfinite", "zero_quant", "zero_float")
"""States in which one side has lost its values: worse than any error."""
HARMLESS: tuple[State, ...] = ("identical", "zero_both", "low_signal", "not_compared")
"""States that say nothing bad, whatever their numbers."""

STATUS_WORDS: Mapping[str, str] = {
    "fail": "failed",
    "error": "check crashed",
    "warn": "warning",
    "info": "note",
    "pass": "passed",
    "inconclusive": "inconclusive",
    "not_applicable": "not applicable",
    "not_checked": "not checked",
    "blocked": "waits for the gate before",
}
"""Of findings, verdicts and gates."""
STATUS_GLYPHS: Mapping[str, str] = {
    "fail": "✗",
    "error": "✗",
    "warn": "!",
    "info": "i",
    "pass": "✓",
    "inconclusive": "?",
    "not_applicable": "·",
    "not_checked": "·",
    "blocked": "·",
}
GATE_WORDS: Mapping[Gate, str] = {
    "input": "input",
    "float": "float graph",
    "ceiling": "16-bit ceiling",
    "int8": "int8",
    "board": "board",
    "output": "reading of the output",
}
BOARD_WORDS: Mapping[BoardState, str] = {
    "compared": "compared",
    "not_dumped": "not in the dump",
    "fused": "fused there, so it cannot be dumped",
    "no_shape": "of another size",
    "not_alike": "like nothing of this layer",
}
"""Of a layer on the board."""
ROLE_WORDS: Mapping[Role, str] = {
    "source": "source: its own error is large",
    "victim": "victim: the error comes from upstream",
    "sound": "sound: neither its own error nor the accumulated one is large",
}
