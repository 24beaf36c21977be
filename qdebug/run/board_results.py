"""What the board computed, as a run holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdebug.metrics.metric import ErrorMetrics

BoardState = Literal["compared", "not_dumped", "fused", "no_shape", "not_alike"]


@dataclass(frozen=True)
class BoardLayer:
    """One layer on the board."""

    state: BoardState
    reason: str = ""
    """Why the state is not ``compared``."""
    tensor: str = ""
    """Name in the dump."""
    mapped_by: str = ""
    """``map``, ``tensor``, ``node``, ``suffix``, ``sanitized`` or ``values``."""
    layout: str = ""
    """How the dump lies: ``NCHW``, ``NHWC``, ``NC1HWC0 (16)``, ``NCHW, rows padded to 32``, ..."""
    scale: float | None = None
    """What a code of the dump is worth; null where it holds values."""
    scale_from: str = ""
    """``dump``, ``quantizer`` (the simulation's), or ``fitted``."""
    against_quant: ErrorMetrics | None = None
    """Simulation against board, over the samples that have a dump."""
    against_float: ErrorMetrics | None = None
    """Float against board."""
    own: ErrorMetrics | None = None
    """What the layer adds itself: the simulated layer, fed with the board's own inputs of this
    layer, against the board's result. Null where the dump lacks an input."""
    own_steps: float | None = None
    """The same as the root mean square, in steps of the layer's quantizer."""
    own_gain: float | None = None
    """Factor between the simulated and the board's result of the layer: slope of a line by least
    squares, without the ends of the range; null where noise alone could have made it."""
    own_offset_steps: float | None = None
    """Mean difference of the two, in steps of the layer's quantizer."""
    step: float | None = None
    """Step of the grid on which the board's values lie; null where they lie on none."""
    likeness: float | None = None
    """Correlation with the simulation's tensor, which no scale changes."""


@dataclass(frozen=True)
class BoardInfo:
    """The dumps of a run."""

    name: str
    title: str
    """``a folder of tensors``, ``TPU-MLIR npz``, ..."""
    tensors: int
    mapped: int
    unmapped: tuple[tuple[str, str], ...] = ()
    """Tensors of the dump without a layer, and why."""
    samples: int = 1
    notes: tuple[str, ...] = ()


PLAIN_LAYOUTS = ("NCHW", "CHW", "NC", "NCDHW", "as it is")
"""The float model's own order of the values."""
