"""What a dump is: named tensors, read one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DumpTensor:
    """One tensor of a dump.

    Attributes:
        name: as the dump has it; never a path.
        read: gives the values; shape and dtype as stored, a flat array where no shape is known.
        says: tensor or node of the ONNX graph that the toolchain's own map names; None where only
            the name tells.
        scale: what a code is worth where the dump says it, ``real = (code - zero_point) * scale``.
        zero_point: the code of zero.
        end: ``input`` or ``output`` of the network and its place among them, where a runtime's
            model says so; None for all others.
    """

    name: str
    read: Callable[[], Array]
    says: str | None = None
    scale: float | None = None
    zero_point: int = 0
    end: tuple[Literal["input", "output"], int] | None = None


@dataclass(frozen=True)
class Dump:
    """The tensors of one input.

    Attributes:
        name: of the file or folder.
        title: for people: ``a folder of .npy files``, ``TPU-MLIR npz``.
        tensors: in the order of the dump.
        suffixes: regular expressions of what the toolchain appends to ONNX names, outermost first.
        fused: names that the toolchain's map knows and does not dump.
        made: regular expressions of the toolchain's own tensors, which are no layer's, and why.
        notes: what was odd, one sentence each.
    """

    name: str
    title: str
    tensors: tuple[DumpTensor, ...]
    suffixes: tuple[str, ...] = ()
    fused: frozenset[str] = frozenset()
    made: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())

    def why_made(self, name: str) -> str | None:
        """Why a tensor is the toolchain's own; None of all others."""
        return next((why for form, why in self.made.items() if re.fullmatch(form, name)), None)
