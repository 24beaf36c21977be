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
    sample: str = ""
    """Where several samples have a dump: the one whose own error is the largest, which ``own``
    and what follows are of."""
    own_steps: float | None = None
    """The same as the root mean square, in steps of the layer's quantizer."""
    own_gain: float | None = None
    """Factor between the simulated and the board's result of the layer: slope of a line by least
    squares, without the ends of the range; null where noise alone could have made it."""
    own_gain_steps: float | None = None
    """What the factor makes of the value farthest from the mean, in steps of the quantizer."""
    own_offset_steps: float | None = None
    """Mean difference of the two, in steps of the layer's quantizer."""
    nonfinite: int = 0
    """Values that are NaN or infinite on the board, and numbers in the simulation."""
    own_nonfinite: int = 0
    """The same against the simulated layer that was fed with the board's own inputs."""
    step: float | None = None
    """Step of the grid on which the board's values lie; null where they lie on none."""
    likeness: float | None = None
    """Correlation with the simulation's tensor, which no scale changes."""


@dataclass(frozen=True)
class BoardDump:
    """The dump of one sample."""

    name: str
    """Of the file or folder."""
    sample: str
    matched_by: str
    """``name``, ``number`` (in the order of the samples), ``first``, or ``run`` of a runtime's
    model, which was run on each sample."""
    fits: str = ""
    """Another sample that its values are more alike; empty where they fit this one best."""
    likeness: float | None = None
    """Correlation with this sample's input, or with its outputs where no input is dumped."""
    likeness_there: float | None = None
    """The same with that other sample's."""


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
    """Samples that have a dump."""
    notes: tuple[str, ...] = ()
    dumps: tuple[BoardDump, ...] = ()
    """Which dump is of which sample, where several samples have one."""


PLAIN_LAYOUTS = ("NCHW", "CHW", "NC", "NCDHW", "as it is")
"""The float model's own order of the values."""
