"""The preprocessing spec: an ordered chain of steps with one canonical text.

``letterbox 640 pad 114 | rgb | /255 | nchw`` reads, from left to right, what happens to a decoded
picture until it is the model's input. Mean, std and pad values stand in the channel order and in
the value domain of their place in the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qdebug.errors import InputError
from qdebug.preprocess.formatting import format_step
from qdebug.preprocess.grammar import parse_step
from qdebug.preprocess.presets import PRESETS
from qdebug.preprocess.spelling import spellings
from qdebug.preprocess.steps import (
    ARITHMETIC,
    GEOMETRIC,
    RESAMPLING,
    SIZED,
    Cast,
    Color,
    ColorOrder,
    Crop,
    Decode,
    Layout,
    LayoutName,
    Letterbox,
    Normalize,
    Offset,
    ResizeShort,
    Rotate,
    Scale,
    Step,
)
from qdebug.preprocess.toml_form import content_of, parsed_toml, to_toml

_StepT = TypeVar("_StepT")


@dataclass(frozen=True)
class Affine:
    """``tensor = gain * pixel + offset`` for each channel of the tensor, pixels in 0..255."""

    gain: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean on 0..255: ``tensor = (pixel - mean) / std``."""
        return tuple(-b / a for a, b in zip(self.gain, self.offset, strict=True))

    @property
    def std(self) -> tuple[float, ...]:
        """Std on 0..255."""
        return tuple(1.0 / a for a in self.gain)


@dataclass(frozen=True)
class PreprocessSpec:
    """What turns a picture file into the model's input tensor.

    ``str(spec)`` is the canonical text and ``PreprocessSpec.parse(str(spec)) == spec``.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        _check_order(self.steps)

    @classmethod
    def parse(cls, text: str) -> PreprocessSpec:
        """Read a spec: a preset, steps separated by ``|``, or a preset and further steps.

        A preset that takes its size from the model may be given one: ``yolo 640``.

        Raises:
            InputError: naming the word that is not understood and the nearest valid one.
        """
        steps: list[Step] = []
        for position, part in enumerate(text.split("|")):
            if not part.strip():
                raise InputError(f"there is an empty step in {text!r}")
            preset = _preset(part) if position == 0 else None
            added = preset.steps if preset else (parse_step(part, tuple(PRESETS)),)
            if isinstance(added[0], Layout) and steps and isinstance(steps[-1], Layout):
                steps.pop()
            steps += added
        return cls(tuple(steps))

    def __str__(self) -> str:
        return " | ".join(format_step(step) for step in self.steps)

    def find(self, kind: type[_StepT]) -> _StepT | None:
        """Return the last step of a kind."""
        return next((s for s in reversed(self.steps) if isinstance(s, kind)), None)

    @property
    def decode(self) -> Decode:
        """How the picture is read; where not said, by the library that resizes it, EXIF applied."""
        stated = self.find(Decode)
        if stated:
            return stated
        resampling = [s for s in self.steps if isinstance(s, RESAMPLING)]
        by_pil = any(s.resampler.library == "pil" for s in resampling)
        return Decode("pil" if by_pil else "cv2")

    @property
    def geometry(self) -> tuple[Step, ...]:
        """The steps that move pixels."""
        return tuple(s for s in self.steps if isinstance(s, GEOMETRIC))

    @property
    def order(self) -> ColorOrder:
        """Channel order of the tensor; the decoder's where no step says it."""
        stated = self.find(Color)
        if stated:
            return stated.order
        return "rgb" if self.decode.library == "pil" else "bgr"

    @property
    def channels(self) -> int:
        """Channels of the tensor, before any alignment."""
        stated = self.find(Color)
        return (stated.channels or 3) if stated else 3

    @property
    def layout(self) -> LayoutName:
        """Order of the tensor's axes; ``nchw`` where no step says it."""
        stated = self.find(Layout)
        return stated.name if stated else "nchw"

    @property
    def dtype(self) -> str:
        """Data type of the tensor; float32 where no step says it."""
        stated = self.find(Cast)
        return stated.dtype if stated else "float32"

    @property
    def affine(self) -> Affine:
        """Gain and offset from pixels 0..255 to the tensor, in the tensor's channel order."""
        gain, offset = [1.0] * self.channels, [0.0] * self.channels
        order = "rgb" if self.decode.library == "pil" else "bgr"
        for step in self.steps:
            if isinstance(step, Color):
                if {order, step.order} == {"rgb", "bgr"}:
                    gain, offset = gain[::-1], offset[::-1]
                order = step.order
            elif isinstance(step, ARITHMETIC):
                gain, offset = _compose(step, gain, offset)
        return Affine(tuple(gain), tuple(offset))

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the tensor's picture, None if it depends on the picture or model."""
        size: tuple[int, int] | None = None
        for step in self.steps:
            if isinstance(step, Letterbox) and (step.pad is None or step.stride):
                size = None
            elif isinstance(step, (*SIZED, Crop)):
                size = step.size
            elif isinstance(step, ResizeShort):
                size = None
            elif isinstance(step, Rotate) and size and step.degrees != 180:
                size = size[1], size[0]
        return size

    @property
    def needs_size(self) -> bool:
        """Whether a step takes its size from the model."""
        return any(isinstance(s, SIZED) and s.size is None for s in self.steps)

    def with_size(self, size: tuple[int, int]) -> PreprocessSpec:
        """Fill the model's input size (width, height) in where a step asks for it."""
        filled = (
            replace(s, size=size) if isinstance(s, SIZED) and s.size is None else s
            for s in self.steps
        )
        return PreprocessSpec(tuple(filled))

    def placed_like(self, other: PreprocessSpec) -> PreprocessSpec:
        """Take decoder and geometry of another pipeline if this one says nothing of them."""
        if self.geometry or not other.geometry:
            return self
        placed = PreprocessSpec((*other.geometry, *self.steps[self.find(Decode) is not None :]))
        decode = self.find(Decode) or other.decode
        return placed if placed.decode == decode else PreprocessSpec((decode, *placed.steps))

    def without(self, *kinds: type[Step]) -> PreprocessSpec:
        """Return the chain without its steps of these kinds."""
        return PreprocessSpec(tuple(s for s in self.steps if not isinstance(s, kinds)))

    def with_layout(self, layout: LayoutName) -> PreprocessSpec:
        """Return the same pipeline with another order of axes."""
        steps = [s for s in self.steps if not isinstance(s, Layout)]
        return PreprocessSpec((*steps, Layout(layout)))

    def equivalents(self) -> list[str]:
        """Every other spelling of the same arithmetic, as full specs; the canonical text first."""
        affine = self.affine
        forms = map(PreprocessSpec, spellings(self.steps, affine.mean, affine.std))
        return list(dict.fromkeys((str(self), *map(str, forms))))

    def to_toml(self) -> str:
        """Write the spec as TOML; `from_toml` reads it back."""
        return to_toml(self.steps)

    @classmethod
    def from_toml(cls, text: str) -> PreprocessSpec:
        """Read the TOML form.

        Raises:
            InputError: the text is no TOML, or a key or value is not understood.
        """
        return cls.from_mapping(parsed_toml(text))

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> PreprocessSpec:
        """Read parsed TOML: ``step`` tables, or ``spec`` with the text form.

        Either may stand at the top level or in a table named ``preprocess``.

        Raises:
            InputError: it holds neither, or a key or value is not understood.
        """
        content = content_of(document)
        return cls.parse(content) if isinstance(content, str) else cls(content)


def _preset(part: str) -> PreprocessSpec | None:
    """Expand ``yolo`` or ``yolo 640``; None if the first word is no preset."""
    name, *rest = part.split()
    if name not in PRESETS:
        return None
    spec = PreprocessSpec.parse(PRESETS[name])
    if not rest:
        return spec
    if not spec.needs_size:
        raise InputError(
            f"preset {name!r} has a fixed size, {rest[0]!r} is too much",
            f"it stands for: {spec}",
        )
    size = parse_step(f"letterbox {' '.join(rest)}")
    assert isinstance(size, Letterbox)
    return spec.with_size(size.size) if size.size else spec


def _compose(step: Step, gain: list[float], offset: list[float]) -> tuple[list[float], list[float]]:
    """Apply one arithmetic step to ``gain * x + offset``."""
    if isinstance(step, Scale):
        factors, shifts = [step.factor] * len(gain), [0.0] * len(gain)
    elif isinstance(step, Offset):
        factors, shifts = [1.0] * len(gain), [float(step.value)] * len(gain)
    else:
        assert isinstance(step, Normalize)
        std = _spread(step.std, len(gain))
        factors = [s if step.multiply else 1.0 / s for s in std]
        mean = _spread(step.mean, len(gain))
        shifts = [-m * f for m, f in zip(mean, factors, strict=True)]
    combined = zip(gain, offset, factors, shifts, strict=True)
    pairs = [(a * f, b * f + s) for a, b, f, s in combined]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InputError(
            f"{len(values)} values are given for a picture of {channels} channels",
            "give one value for all channels or one for each",
        )
    return values * channels if len(values) == 1 else values


def _check_order(steps: tuple[Step, ...]) -> None:
    """Refuse chains that cannot be carried out in the order written."""
    if not steps:
        raise InputError("a preprocessing spec needs at least one step")
    if any(isinstance(step, Decode) for step in steps[1:]):
        raise InputError("'decode' must be the first step, and stand only once")
