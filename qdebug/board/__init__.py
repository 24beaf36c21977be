"""The board: what a device, a simulator or another runtime computed, known by its dumped tensors.

A dump is a list of named tensors (``qdebug.dumps``). ``names`` finds whose they are, ``layouts``
how they lie, and ``measure`` compares them with the float run and with the simulation while these
stream by.
"""

from qdebug.board.measure import BoardRun
from qdebug.board.outcome import BoardLayer, BoardOutcome

__all__ = ["BoardLayer", "BoardOutcome", "BoardRun"]
