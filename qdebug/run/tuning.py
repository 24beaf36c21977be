"""What a tuning found, kept with the run of the tuned model (``NAME.qdtune``).

Losses are ``L`` of `docs/tune.md`: the task's weighted squared error at the outputs, a mean over
pictures; dB are taken of it. Every number that decides was measured on pictures that nothing was
chosen on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CureKind = Literal["balance", "bits", "bias", "ranges", "weights"]
Outcome = Literal["tuned", "nothing-to-win", "out-of-reach", "not-resolution"]


@dataclass(frozen=True)
class Measured:
    """A configuration, measured on the held-out pictures."""

    loss: float
    sqnr_db: float
    """Of what the loss is taken at, over all held-out pictures."""
    task: float | None = None
    """The task's deciding number; null where no task is known."""
    each: tuple[float, ...] = ()
    """The loss of each held-out picture."""
    task_each: tuple[float, ...] = ()
    """The task's number on each of them; nothing where it is one of all pictures together."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried."""

    step: str
    """``given``, ``ceiling``, ``bits``, ``weights``, ``bias``, ``ranges`` or ``ladder``."""
    name: str
    predicted: float | None
    """Loss to be expected from the histograms; null where none was predicted."""
    measured: Measured | None
    """Null where nothing but the prediction was made."""
    units: tuple[str, ...] = ()
    """What has 16 bits, or floating point, in it."""
    macs: float = 0.0
    """Share of the multiplications that read such a tensor, 0..1."""


@dataclass(frozen=True)
class Cure:
    """One change, accepted or refused on the held-out pictures."""

    kind: CureKind
    title: str
    units: tuple[str, ...]
    """Names of the nodes it is about; empty where it is about all of them."""
    predicted_db: float | None
    """Change of the loss that was predicted, dB; positive is better."""
    measured_db: float
    """The same, measured."""
    task_before: float | None
    task_after: float | None
    macs: float
    """What it costs: share of the multiplications at the higher precision, 0..1."""
    accepted: bool
    reason: str
    float_equivalent: bool = True
    """False where the float model itself would have to be changed (corrected biases)."""

    @property
    def is_foretold(self) -> bool:
        """Whether prediction and measurement agree within 3 dB."""
        return (
            self.predicted_db is None or abs(self.predicted_db - self.measured_db) <= AGREEMENT_DB
        )


ASKED = "asked for"
"""Reason of a cure that the user or the target wants, whatever it wins."""

AGREEMENT_DB = 3.0
"""Predictions are linear; beyond this the record says that they failed. The prototype's accepted
steps stayed within it."""


@dataclass(frozen=True)
class CurvePoint:
    """Quality for a number of units at the higher precision."""

    added: int
    """Units beyond the broken ones."""
    units: tuple[str, ...]
    order: str
    """What they were ranked by: ``share``, ``share per MAC``, ``block`` (neighbours), or
    ``needed``: another point's without those that it does not need."""
    macs: float
    predicted: float
    measured: Measured
    chosen: bool = False
    converts: int = 0
    """Tensors that have to be converted from one width to another in it."""


@dataclass(frozen=True)
class MethodResult:
    """One way to choose ranges."""

    method: str
    predicted: float
    """Loss of the activations, all at 8 bits, and of the weights."""
    measured: Measured | None
    """Null where it was not verified."""
    chosen: bool = False


@dataclass(frozen=True)
class UnitSetting:
    """A setting of a unit's quantizers, and what it is predicted to cost."""

    scale: float
    """Step of the codes."""
    zero: int
    """Code of zero, counted from the lowest code."""
    levels: int
    """Number of steps."""
    bits: int
    """8 or 16; 32 where the values stay in floating point."""
    loss: float
    """The unit's share of the loss with it."""


UnitChoice = Literal["given", "ranges", "wide"]
"""A unit as given, with the range that the tuning chose for 8 bits, or at the higher precision."""


@dataclass(frozen=True)
class PlannedUnit:
    """Quantizers that change together, with each setting that a plan may give them."""

    label: str
    """Names of the nodes that make the values."""
    tensors: tuple[str, ...]
    """Outputs of its ``QuantizeLinear`` nodes, in the graph that the tuning began with."""
    macs: float
    """Share of the multiplications that read one of them, 0..1."""
    given: UnitSetting
    ranges: UnitSetting
    wide: UnitSetting
    chosen: UnitChoice

    def setting(self, choice: UnitChoice) -> UnitSetting:
        """The setting of a choice."""
        return {"given": self.given, "ranges": self.ranges, "wide": self.wide}[choice]


@dataclass(frozen=True)
class Tuning:
    """The whole of a tuning."""

    outcome: Outcome
    verdict: str
    """One sentence."""
    loss: str
    """What is summed up, for people."""
    task: str
    """Name of the task's deciding number; empty where no task is known."""
    searched: int
    """Pictures that the search looked at."""
    held_out: int
    """Pictures that decided."""
    given: Measured
    tuned: Measured
    ceiling: Measured
    """All activations at 16 bits, and what rounding took from the weights given back."""
    target: str = ""
    """What had to be reached."""
    kept: tuple[str, ...] = ()
    """Float tensors with more than 8 bits in the repaired model."""
    cures: tuple[Cure, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    methods: tuple[MethodResult, ...] = ()
    tried: tuple[Trial, ...] = ()
    inferences: Mapping[str, int] | None = None
    """Runs of whole graphs by kind: ``float``, ``configured``, ``reverse``."""
    stopped: str = ""
    """Why the search ended early; empty where it did not."""
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] | None = None
    """What was written beside the record: kind to file name."""
    begun_with: str = ""
    """sha256 of the quantized model that it began with; empty in records of earlier versions."""
    units: tuple[PlannedUnit, ...] = ()
    """Everything that a plan can set; nothing in records of earlier versions."""
    floors: Mapping[str, float] | None = None
    """Loss that is left with every activation at the higher precision: by the weights and biases,
    ``given``, ``weights`` (rounded anew) and ``bias`` (corrected as well)."""
