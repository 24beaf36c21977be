"""The data: encodings of tensors, weights and nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import code_range

Array = npt.NDArray[Any]
Kind = Literal["tensor", "weight", "node"]
"""What an entry speaks of: an activation, a constant, or a node and all that it computes."""

FLOATS = ("float32", "float16", "bfloat16")
"""Types that hold real numbers, not codes."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the values of one tensor are held: ``real = (code - zero_point) * scale``.

    Attributes:
        dtype: ONNX name of the code's type in lower case (``uint8``, ``int16``, ``int4``, ...), or
            one of ``FLOATS`` where the values stay real.
        scale: float32, ``[]``, ``[channels]`` or, in blocks, one value a block; None where the
            values stay real, or where nothing but the type is known.
        zero_point: int64, shaped like ``scale``; None where that is.
        axis: of the channels or blocks; None for one scale, and where many scales are given
            without it: then it is the axis of the weight's output channels.
        block_size: values along ``axis`` that share a scale; 0 for none.
        narrow: whether the smallest code of a signed type is left out, as ``-128``.
        dequantize_scale: float32 ``[]``: the one scale to read codes with that were written with
            ``scale`` of each channel, where a toolchain evened channels out.
        per_unit: float32, shaped like ``scale``: codes a unit, where a toolchain multiplies a
            weight with these in place of dividing it by ``scale``: half steps differ.
    """

    dtype: str
    scale: npt.NDArray[np.float32] | None = None
    zero_point: npt.NDArray[np.int64] | None = None
    axis: int | None = None
    block_size: int = 0
    narrow: bool = False
    dequantize_scale: npt.NDArray[np.float32] | None = None
    per_unit: npt.NDArray[np.float32] | None = None

    @classmethod
    def linear(
        cls, dtype: str, scale: Any, zero_point: Any = 0, axis: int | None = None, **rest: Any
    ) -> Encoding:
        """An encoding from plain numbers or lists; a single scale is one for the whole tensor."""
        scales = np.asarray(scale, np.float32)
        if scales.size == 1:
            scales, axis = scales.reshape(()), None
        zeros = np.asarray(zero_point, np.int64)
        zeros = zeros.reshape(()) if zeros.size == 1 else zeros
        return cls(dtype, scales, np.broadcast_to(zeros, scales.shape), axis, **rest)

    @classmethod
    def of(cls, quantizer: Quantizer) -> Encoding:
        """The encoding of a quantizer in a graph."""
        low, _ = code_range(quantizer.dtype)
        return cls(
            quantizer.dtype,
            quantizer.scale,
            quantizer.zero_point,
            quantizer.axis,
            quantizer.block_size,
            narrow=quantizer.low == low + 1,
        )

    @property
    def is_float(self) -> bool:
        """Whether the values stay real numbers."""
        return self.dtype in FLOATS

    @property
    def is_linear(self) -> bool:
        """Whether there are codes, and scales to read them with."""
        return self.scale is not None

    @property
    def bits(self) -> int:
        """Width of a value in memory."""
        return int("".join(filter(str.isdigit, self.dtype)) or 8)

    def quantizer(self, axis: int | None = None) -> Quantizer:
        """The quantizer that writes codes; ``axis`` is taken where the encoding leaves it open."""
        assert self.scale is not None
        assert self.zero_point is not None
        low, high = code_range(self.dtype)
        where = None if self.scale.ndim == 0 else self.axis if self.axis is not None else axis
        return Quantizer(
            self.dtype,
            self.scale,
            self.zero_point,
            where,
            low + (self.narrow and low < 0),
            high,
            self.block_size,
        )

    def over(self, low: float, high: float, bits: int | None = None) -> Encoding:
        """An encoding for another range, of the same signedness and symmetry; one scale.

        Args:
            low: smallest value that it has to hold; taken as zero where it is above.
            high: largest; likewise.
            bits: width of its codes; the same by default.
        """
        sign = "u" if self.dtype.startswith("u") else ""
        dtype = f"{sign}int{bits or self.bits}"
        first, last = code_range(dtype)
        low, high = min(low, 0.0), max(high, 0.0)
        if self.zero_point is not None and not self.zero_point.any():
            reach = high if sign and low >= 0 else max(-low, high)
            return Encoding.linear(dtype, reach / last or 1.0)
        scale = (high - low) / (last - first) or 1.0
        return Encoding.linear(dtype, scale, round(first - low / scale))

    def __eq__(self, other: object) -> bool:
        """Whether type, axis and every number are the same."""
        if not isinstance(other, Encoding):
            return NotImplemented
        plain = ("dtype", "axis", "block_size", "narrow")
        arrays = ("scale", "zero_point", "dequantize_scale", "per_unit")
        return all(getattr(self, n) == getattr(other, n) for n in plain) and all(
            _same(getattr(self, n), getattr(other, n)) for n in arrays
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Entry:
    """One line of encodings.

    Attributes:
        name: as the file or graph has it.
        encoding: what it says.
        kind: what the name is the name of.
        readers: labels of the nodes that read the quantized value; empty where all do.
        line: of the file, from 1; None where there is none.
        homeless: why a reader that had to look into the graph found no place for it; empty where
            it found one, or did not look.
        unused: why the toolchain does not use it, where its files say so; empty otherwise.
    """

    name: str
    encoding: Encoding
    kind: Kind = "tensor"
    readers: tuple[str, ...] = ()
    line: int | None = field(default=None, compare=False)
    homeless: str = field(default="", compare=False)
    unused: str = field(default="", compare=False)


@dataclass(frozen=True)
class Encodings:
    """How a network is quantized, as one file or graph says it.

    Attributes:
        entries: in the file's order.
        toolchain: name of the toolchain, as ``--vendor`` takes it; empty for qdebug's own.
        form: name of the file's format, as ``--quant-format`` takes it.
        origin: file it came from, without its folder.
        notes: what was read besides, or left out, one sentence each.
    """

    entries: tuple[Entry, ...]
    toolchain: str = ""
    form: str = ""
    origin: str = ""
    notes: tuple[str, ...] = ()

    def of_kind(self, kind: Kind) -> dict[str, Entry]:
        """Entries of a kind by name; of several for one name, the first."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.kind == kind:
                found.setdefault(entry.name, entry)
        return found


def _same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool((one == other).all())
