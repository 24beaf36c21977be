"""The result of reading a graph's first nodes."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import Color, Layout, LayoutName, Normalize, Step


@dataclass(frozen=True)
class Quantizer:
    """The first quantizer that the input meets."""

    low: float
    """Smallest value that it can hold."""
    high: float
    symmetric: bool
    """Whether its zero point is in the middle, so that one side may be unused."""
    gain: tuple[float, ...] = (1.0,)
    """What the graph has computed on the way to it: ``gain * input + offset``."""
    offset: tuple[float, ...] = (0.0,)

    def meets(self, spec: PreprocessSpec) -> Affine:
        """Gain and offset from pixels to the values that it quantizes."""
        front = GraphFront(self.gain, self.offset)
        return PreprocessSpec((*spec.steps, *front.steps)).affine


@dataclass(frozen=True)
class GraphFront:
    """What happens to the input before the first layer with weights."""

    gain: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    reversed: bool = False
    """Whether the channels are reversed; gain and offset are in the order behind it."""
    layout: LayoutName | None = None
    """The layout behind a Transpose; None if there is none."""
    nodes: tuple[str, ...] = ()
    """The nodes that do it, as ``Op name``."""
    quantizer: Quantizer | None = None
    """The first quantizer of the input, if its scale is known."""
    rounded: bool = False
    """Whether a constant of it is itself quantized, so that its numbers are not exact."""
    unknown: str | None = None
    """A preprocessing node that could not be read."""
    unread: str | None = None
    """A node that may belong to the preprocessing and at which the reading ended."""

    @property
    def normalizes(self) -> bool:
        """Whether the values are changed."""
        return any(g != 1 for g in self.gain) or any(self.offset)

    @property
    def changes(self) -> bool:
        """Whether the values or the order of the channels are changed."""
        return self.normalizes or self.reversed

    @property
    def steps(self) -> tuple[Step, ...]:
        """The same as steps behind a pipeline."""
        steps: list[Step] = []
        if self.normalizes:
            mean = tuple(-o / g + 0.0 for g, o in zip(self.gain, self.offset, strict=True))
            steps.append(Normalize(mean, self.gain, multiply=True))
        if self.layout:
            steps.append(Layout(self.layout))
        return tuple(steps)

    def behind(self, spec: PreprocessSpec) -> PreprocessSpec:
        """Append what the graph computes to a pipeline."""
        swap: tuple[Step, ...] = ()
        if self.reversed and spec.channels == 3:
            swap = (Color("bgr" if spec.order == "rgb" else "rgb"),)
        return PreprocessSpec((*spec.steps, *swap, *self.steps))

    def describe(self) -> str:
        """Write what is computed, for people."""
        parts = []
        if self.reversed:
            parts.append("reverses the channels")
        if self.normalizes:
            affine = Affine(self.gain, self.offset)
            mean = ",".join(f"{m + 0.0:.6g}" for m in affine.mean)
            std = ",".join(f"{s:.6g}" for s in affine.std)
            parts.append(f"computes (x - mean) / std with mean {mean} and std {std}")
        if self.layout:
            parts.append(f"brings the input to {self.layout.upper()}")
        return " and ".join(parts) or "leaves the input as it is"
