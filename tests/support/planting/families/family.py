"""What a family of random plantings takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from tests.support.nets import Array

Rng = np.random.Generator
Model = onnx.ModelProto


class UnsuitableError(Exception):
    """The model has no place for what was to be planted."""


@dataclass(frozen=True)
class Subject:
    """A sound pair to plant into.

    Attributes:
        name: for the table.
        float_model: the reference.
        quant_model: its sound twin.
        feeds: inputs of the float model that it is compared on.
        quantize: makes a twin of a changed float model as the sound one was made; None where that
            takes too long.
    """

    name: str
    float_model: Model
    quant_model: Model
    feeds: tuple[dict[str, Array], ...]
    quantize: Callable[[Model], Model] | None = None


@dataclass(frozen=True)
class Truth:
    """One fault and where it is.

    Attributes:
        slugs: findings any of which names it.
        tensors: float tensors at which it may rightly be named.
        nodes: names of float nodes that it may rightly name.
    """

    slugs: tuple[str, ...]
    tensors: tuple[str, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planting:
    """A pair with faults in it.

    Attributes:
        kind: name of the fault, or of the sound change.
        float_model: the reference.
        quant_model: the faulty twin.
        sound_model: the twin without the fault.
        truths: the faults, the larger first; none for a sound change.
    """

    kind: str
    float_model: Model
    quant_model: Model
    sound_model: Model
    truths: tuple[Truth, ...]


Family = Callable[[Subject, Rng], Planting]
