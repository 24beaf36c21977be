"""A light description of a model's input, so that preprocessing needs no graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_PICTURE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ModelInput:
    """One graph input."""

    name: str
    dtype: str
    """Name of the numpy data type, for instance ``float32``."""
    shape: tuple[int | str | None, ...]
    """A symbolic dimension is its name, or None if it has none."""

    @property
    def concrete_shape(self) -> tuple[int, ...] | None:
        """The shape with a symbolic batch taken as 1; None if another dimension is symbolic."""
        first, rest = self.shape[:1], self.shape[1:]
        batch = tuple(side if isinstance(side, int) else 1 for side in first)
        fixed = tuple(side for side in rest if isinstance(side, int))
        return batch + fixed if len(fixed) == len(rest) else None

    @property
    def layout(self) -> Literal["nchw", "nhwc"] | None:
        """Layout of a picture input, by where the 1, 3 or 4 channels stand; None if unclear."""
        if len(self.shape) != 4:
            return None
        if self.shape[1] in _PICTURE_CHANNELS:
            return "nchw"
        return "nhwc" if self.shape[3] in _PICTURE_CHANNELS else None

    @property
    def channels(self) -> int | None:
        """Channels of a picture input."""
        if self.layout is None:
            return None
        side = self.shape[1 if self.layout == "nchw" else 3]
        return side if isinstance(side, int) else None

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of a picture input; None if symbolic or no picture."""
        if self.layout is None:
            return None
        height, width = self.shape[2:] if self.layout == "nchw" else self.shape[1:3]
        if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
            return width, height
        return None

    def rows_of(self, shape: Sequence[int]) -> int:
        """Samples in a tensor file of this shape: its first dimension where that is the batch."""
        if len(shape) != len(self.shape) or len(shape) < 2:
            return 1
        single = self.shape[0] == 1 or not isinstance(self.shape[0], int)
        return shape[0] if single else 1

    def describe(self) -> str:
        """Write the shape and type as people do: ``[1, 3, 640, 640] float32``."""
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"[{sides}] {self.dtype}"
