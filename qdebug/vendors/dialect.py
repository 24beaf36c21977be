"""What a preprocessing dialect is: a vendor's way to write a pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdebug.errors import InputError
from qdebug.preprocess.numbers import format_number, format_numbers, parse_numbers, rounded
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    GEOMETRIC,
    Color,
    Letterbox,
    Normalize,
    Offset,
    Reinterpret,
    Resampler,
    Resize,
    Step,
    Yuv,
)


@dataclass(frozen=True)
class Reading:
    """A pipeline read from a vendor's settings."""

    spec: PreprocessSpec
    """What makes the float model's input."""
    notes: tuple[str, ...] = ()
    """What the settings leave open or imply, one sentence each."""
    runtime: PreprocessSpec | None = None
    """What the device is fed instead, where the toolchain moves a part into the graph."""


@dataclass(frozen=True)
class Dialect:
    """One way to write preprocessing."""

    title: str
    read: Callable[[str], Reading]
    """Read the settings from text.

    Raises:
        InputError: the text is not of this dialect.
    """
    write: Callable[[PreprocessSpec], str | None]
    """Write a pipeline; None if the dialect cannot express it."""


def pairs(text: str, separators: str = r"[\s;]") -> dict[str, str]:
    """Read ``key=value`` and ``--key value`` pairs; a flag without a value is ``true``."""
    joined = re.sub(r"\s*,\s*", ",", text.replace("\\\n", " "))
    joined = re.sub(r"\[\s+", "[", re.sub(r"\s+\]", "]", joined))
    found: dict[str, str] = {}
    waiting = ""
    for word in re.split(separators + "+", joined.strip()):
        if word.startswith("--"):
            waiting, _, value = word[2:].partition("=")
            found[waiting] = value or "true"
            waiting = "" if value else waiting
        elif "=" in word:
            key, _, value = word.partition("=")
            found[key.strip()] = value.strip().strip("\"'")
        elif waiting:
            found[waiting] = word.strip("\"'")
            waiting = ""
    return found


def flat_yaml(text: str) -> dict[str, str]:
    """Read the scalar leaves of block-style YAML by their own key.

    That is all that vendors' preprocessing sections use; lists stay text.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"^\s*(?:-\s+)?['\"]?([\w.-]+)['\"]?\s*:\s*(.*?)\s*$", line)
        if match and match[2] and not match[2].startswith("#"):
            value = re.sub(r"\s+#.*$", "", match[2]).strip()
            found[match[1]] = value.strip("'\"")
    return found


def numbers_of(settings: Mapping[str, str], *keys: str) -> tuple[float, ...] | None:
    """Read the numbers under the first key that is there, separated by anything."""
    for key in keys:
        if key in settings:
            text = re.sub(r"[\[\]()'\"]", " ", settings[key])
            return parse_numbers(",".join(re.split(r"[\s,;:]+", text.strip())))
    return None


def is_true(text: str | None) -> bool:
    """Whether a setting is switched on."""
    return (text or "").lower() in ("true", "1", "yes", "on")


def affine_steps(
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None = None,
    scale: tuple[float, ...] | None = None,
) -> tuple[Step, ...]:
    """Return ``(x - mean) / std`` or ``(x - mean) * scale``; nothing if it does nothing."""
    values = scale if scale is not None else std or (1.0,)
    centered = mean if mean and any(mean) else (0.0,)
    if not any(centered) and set(values) == {1.0}:
        return ()
    return (Normalize(centered, values, multiply=scale is not None),)


def require(settings: Mapping[str, str], known: tuple[str, ...], dialect: str) -> None:
    """Check that the text holds at least one of a dialect's keys.

    Raises:
        InputError: it holds none.
    """
    if not any(key in settings for key in known):
        raise InputError(
            f"the text holds no {dialect} setting", f"it should hold some of: {', '.join(known)}"
        )


@dataclass(frozen=True)
class Simple:
    """A pipeline without anything that only qdebug's own text can say."""

    order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    geometry: tuple[Step, ...]

    @property
    def stretch(self) -> tuple[int, int] | None:
        """Size of a plain cv2-like stretch, if that is the whole geometry."""
        if len(self.geometry) == 1 and isinstance(self.geometry[0], Resize):
            step = self.geometry[0]
            return step.size if step.resampler == Resampler() else None
        return None

    @property
    def letterbox(self) -> Letterbox | None:
        """The letterbox, if that is the whole geometry."""
        if len(self.geometry) == 1 and isinstance(self.geometry[0], Letterbox):
            return self.geometry[0]
        return None

    @property
    def channels(self) -> int:
        """Channels of the tensor."""
        return len(self.mean)

    def means(self, separator: str = ",") -> str:
        """Write the mean on 0..255."""
        return format_numbers(self.mean).replace(",", separator)

    def stds(self, separator: str = ",") -> str:
        """Write the std on 0..255."""
        return format_numbers(self.std).replace(",", separator)

    def scales(self, separator: str = ",") -> str:
        """Write 1 / std on 0..255."""
        values = (format_number(rounded(1 / s, 7)) for s in self.std)
        return separator.join(values)


def simplified(spec: PreprocessSpec) -> Simple | None:
    """Reduce a pipeline to what vendors' settings can say; None if it holds more."""
    if any(isinstance(s, Yuv | Reinterpret) for s in spec.steps):
        return None
    if any(isinstance(s, Offset) for s in spec.steps) and spec.dtype != "float32":
        return None
    swaps = [s for s in spec.steps if isinstance(s, Color)]
    if len(swaps) > 1:
        return None
    affine = spec.affine
    mean = tuple(rounded(m, 7) + 0.0 for m in affine.mean)
    std = tuple(rounded(s, 7) for s in affine.std)
    geometry = tuple(s for s in spec.steps if isinstance(s, GEOMETRIC))
    return Simple(spec.order, mean, std, geometry)
