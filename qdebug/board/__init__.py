"""The board: what a device, a simulator or another runtime computed, known by its dumped tensors.

A dump is a list of named tensors (``qdebug.dumps``). ``matching`` finds which sample it is of,
``names`` whose its tensors are, ``layouts`` how they lie; ``measure`` compares them with the float
run and with the simulation while these stream by, and ``merge`` makes one board of several dumps.
"""

from qdebug.board.outcome import BoardLayer, BoardOutcome

__all__ = ["BoardLayer", "BoardOutcome"]
