"""Weights packed several codes a byte (``MatMulNBits``)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qdebug.graph.model import Array, Node
from qdebug.graph.pairing.logical import Const


@dataclass(eq=False)
class PackedConst(Const):
    """The ``[K, N]`` matrix a ``MatMulNBits`` node multiplies by; ``tensor`` holds it packed."""

    node: Node | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """``(K, N)``."""
        attributes = self.node.attributes if self.node else {}
        return int(attributes.get("K", 0)), int(attributes.get("N", 0))

    def read(self) -> Array | None:
        """The matrix, float32 ``[K, N]``; None where its parts are computed while running."""
        assert self.node is not None
        attributes, inputs = self.node.attributes, (*self.node.inputs, "", "")
        packed, scales = (self.constants.value(name) for name in inputs[1:3])
        if packed is None or scales is None:
            return None
        columns, bits = int(attributes["N"]), int(attributes.get("bits", 4))
        codes = unpack(packed.reshape(columns, packed.shape[1], -1), bits)
        zero = self._zero_points(inputs[3], codes.shape[:2], bits)
        scale = scales.astype(np.float32).reshape(columns, -1, 1)
        real: Array = (codes.astype(np.float32) - zero) * scale
        matrix: Array = real.reshape(columns, -1)[:, : int(attributes["K"])].T
        return matrix

    def _zero_points(self, name: str, shape: tuple[int, int], bits: int) -> Array:
        zero = self.constants.value(name) if name else None
        if zero is None:
            return np.full((1, 1, 1), 1 << (bits - 1), np.float32)
        if zero.dtype != np.uint8:
            return zero.astype(np.float32).reshape(*shape, 1)
        rows = unpack(zero.reshape(shape[0], -1), bits)[:, : shape[1]]
        return rows.astype(np.float32)[..., np.newaxis]


def unpack(packed: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Codes of ``bits`` bits (2, 4 or 8) along the last axis, lowest bits first."""
    if bits == 8:
        return packed
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes: npt.NDArray[np.uint8] = (packed[..., np.newaxis] >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(*packed.shape[:-1], -1)
