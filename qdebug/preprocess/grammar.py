"""Reading one step of a preprocessing spec from its words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from qdebug.errors import InputError
from qdebug.preprocess.numbers import parse_number, parse_numbers
from qdebug.preprocess.steps import (
    FILTERS,
    Align,
    Anchor,
    Axis,
    Cast,
    CenterCrop,
    Color,
    Crop,
    Decode,
    DtypeName,
    Flip,
    Layout,
    Letterbox,
    Normalize,
    Offset,
    Pad,
    Reinterpret,
    Resampler,
    Resize,
    ResizeShort,
    Rotate,
    Rounding,
    Scale,
    Size,
    Step,
    Yuv,
    YuvMatrix,
    YuvRange,
)

DTYPES: tuple[DtypeName, ...] = (
    "float32",
    "float16",
    "float64",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
)
_FILTER_NAMES = tuple(
    dict.fromkeys((*(name for names in FILTERS.values() for name in names), "bilinear", "bicubic"))
)
_LIBRARIES = tuple(FILTERS)
_ROUNDINGS: tuple[Rounding, ...] = ("round", "floor", "ceil")
_ANCHORS: tuple[Anchor, ...] = ("center", "top-left")
_SPELLINGS = {"centre": "center", "centre-crop": "center-crop", "corner": "top-left"}
_LONGEST_SIDE = 2**31 - 1
"""cv2 and Pillow take sizes as 32-bit integers."""
_Choice = TypeVar("_Choice", bound=str)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like ``word``, if one is close."""
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.55)
    return found[0] if found else None


def unknown(word: str, context: str, candidates: Sequence[str]) -> InputError:
    """Make the error for a word that is not understood, naming the nearest one that is."""
    close = nearest(word, candidates)
    hint = f"did you mean {close!r}?" if close else f"it may be one of: {', '.join(candidates)}"
    return InputError(f"{word!r} is not understood in {context!r}", hint)


class Words:
    """The words of one step, taken from the front."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        spaced = re.sub(r"\s*,\s*", ",", self.text.replace("=", " "))
        spaced = re.sub(r"([\[(])\s+|\s+([\])])", r"\1\2", spaced)
        self._rest = [_SPELLINGS.get(word, word) for word in spaced.lower().split()]

    def __bool__(self) -> bool:
        return bool(self._rest)

    def peek(self) -> str:
        """Return the next word without taking it, or an empty string."""
        return self._rest[0] if self._rest else ""

    def take(self, what: str) -> str:
        """Take the next word; ``what`` names it in the error if there is none."""
        if not self._rest:
            raise InputError(f"{self.text!r} lacks {what}")
        return self._rest.pop(0)

    def skip(self, word: str) -> bool:
        """Take the next word if it is ``word``."""
        if self.peek() != word:
            return False
        self._rest.pop(0)
        return True

    def choice(self, what: str, options: Sequence[_Choice]) -> _Choice:
        """Take the next word, which must be one of ``options``."""
        word = self.take(what)
        for option in options:
            if word == option:
                return option
        raise unknown(word, self.text, options)

    def number(self, what: str) -> float:
        """Take one number."""
        return parse_number(self.take(what))

    def numbers(self, what: str) -> tuple[float, ...]:
        """Take a comma-separated list of numbers."""
        return parse_numbers(self.take(what))

    def integer(self, what: str) -> int:
        """Take one whole number."""
        value = self.number(what)
        if value != int(value):
            raise InputError(f"{what} in {self.text!r} must be a whole number, not {value}")
        return int(value)

    def pixels(self, what: str) -> int:
        """Take one length in pixels."""
        value = self.integer(what)
        if value < 1:
            raise InputError(f"{what} in {self.text!r} must be at least 1, not {value}")
        return self._within(value)

    def _within(self, pixels: int) -> int:
        if pixels > _LONGEST_SIDE:
            raise InputError(f"{pixels} in {self.text!r} is more than {_LONGEST_SIDE} pixels")
        return pixels

    def size(self) -> Size:
        """Take ``640``, ``416x320`` (width x height) or ``model``."""
        word = self.take("a size")
        if word == "model":
            return None
        # Ten figures hold every size there is; Python reads no more than 4,300.
        match = re.fullmatch(r"0*(\d{1,10})(?:[x×*]0*(\d{1,10}))?", word, re.ASCII)
        if not match or 0 in (int(match[1]), int(match[2] or 1)):
            raise InputError(
                f"{word!r} is not a size in {self.text!r}",
                "write 640, or 416x320 as width x height, or 'model' for the model's own size",
            )
        return self._within(int(match[1])), self._within(int(match[2] or match[1]))

    def point(self, what: str) -> tuple[int, int]:
        """Take two whole numbers separated by a comma."""
        values = self.numbers(what)
        if len(values) != 2 or any(value != int(value) for value in values):
            raise InputError(f"{what} in {self.text!r} must be two whole numbers, as in 16,16")
        return int(values[0]), int(values[1])

    def finish(self, known: Sequence[str] = ()) -> None:
        """Check that nothing is left."""
        if self._rest:
            if known:
                raise unknown(self._rest[0], self.text, known)
            raise InputError(
                f"{self._rest[0]!r} is too much in {self.text!r}",
                "separate the steps by '|'",
            )


class _Options:
    """The options that resizing steps share, in any order."""

    words = (
        "cv2",
        "pil",
        "float",
        *_ROUNDINGS,
        *_ANCHORS,
        "pad",
        "stride",
        "no-upscale",
        "upscale",
    )

    def __init__(self, words: Words, allowed: Sequence[str]) -> None:
        self.resampler = Resampler()
        self.pad: tuple[float, ...] = (114.0,)
        self.anchor: Anchor = "center"
        self.rounding: Rounding | None = None
        self.upscale = True
        self.stride = 0
        while words:
            self._take(words, allowed)

    def _take(self, words: Words, allowed: Sequence[str]) -> None:
        word = words.peek()
        if word in _LIBRARIES or word in _FILTER_NAMES:
            self.resampler = _resampler(words)
        elif word not in allowed:
            raise unknown(word, words.text, (*_LIBRARIES, *_FILTER_NAMES, *allowed))
        elif word == "pad":
            words.take("pad")
            self.pad = words.numbers("the pad value")
        elif word == "stride":
            words.take("stride")
            self.stride = words.pixels("the stride")
        elif word in ("no-upscale", "upscale"):
            self.upscale = words.take(word) == "upscale"
        elif word in _ANCHORS:
            self.anchor = words.choice("the anchor", _ANCHORS)
        else:
            self.rounding = words.choice("the rounding rule", _ROUNDINGS)


def _resampler(words: Words) -> Resampler:
    """Take a library, a filter, or both."""
    if words.peek() in _LIBRARIES:
        library = words.choice("the library", _LIBRARIES)
        if words.peek() not in _FILTER_NAMES:
            return Resampler.named(library, "linear")
        return Resampler.named(library, words.take("the filter"))
    name = words.take("the filter")
    library = "pil" if name in FILTERS["pil"] and name not in FILTERS["cv2"] else "cv2"
    if name in ("bilinear", "bicubic"):
        raise InputError(
            f"{name!r} needs the library beside it in {words.text!r}",
            f"write 'pil {name}' or 'cv2 {_cv2_name(name)}': the two give different pixels",
        )
    return Resampler.named(library, name)


def _cv2_name(name: str) -> str:
    return name.removeprefix("bi")


def _decode(words: Words) -> Step:
    library: Literal["cv2", "pil"] = words.choice("the library", ("cv2", "pil"))
    exif = True
    if words.skip("exif"):
        exif = words.choice("apply or ignore", ("apply", "ignore")) == "apply"
    return Decode(library, exif)


def _gray(words: Words) -> Step:
    return Color("gray", words.integer("the channels of gray") if words else 1)


def _resize(words: Words) -> Step:
    single = re.fullmatch(r"\d+", words.peek()) is not None
    size = words.size()
    options = _Options(words, _ROUNDINGS if single else ())
    if single and size is not None:
        return ResizeShort(size[0], options.resampler, options.rounding or "floor")
    return Resize(size, options.resampler)


def _letterbox(words: Words) -> Step:
    size = words.size()
    o = _Options(words, _Options.words[3:])
    rounding = o.rounding or "round"
    return Letterbox(size, o.pad, o.resampler, o.anchor, rounding, o.upscale, o.stride)


def _fit(words: Words) -> Step:
    size = words.size()
    o = _Options(words, (*_ROUNDINGS, "no-upscale", "upscale"))
    return Letterbox(size, None, o.resampler, "center", o.rounding or "round", o.upscale)


def _pad(words: Words) -> Step:
    size = words.size()
    value: tuple[float, ...] = (0.0,)
    anchor: Anchor = "center"
    while words:
        if words.skip("value"):
            value = words.numbers("the pad value")
        elif words.peek() in _ANCHORS:
            anchor = words.choice("the anchor", _ANCHORS)
        else:
            words.finish(("value", *_ANCHORS))
    return Pad(size, value, anchor)


def _center_crop(words: Words) -> Step:
    size = words.size()
    return CenterCrop(size, words.choice("the rule", ("round", "floor")) if words else "round")


def _crop(words: Words) -> Step:
    size = words.size()
    if size is None:
        raise InputError(f"{words.text!r} needs its size in numbers")
    return Crop(size, words.point("the corner") if words.skip("at") else (0, 0))


def _flip(words: Words) -> Step:
    return Flip(words.choice("the direction", ("horizontal", "vertical")))


def _rotate(words: Words) -> Step:
    turns: dict[str, Literal[90, 180, 270]] = {"90": 90, "180": 180, "270": 270}
    return Rotate(turns[words.choice("the angle", tuple(turns))])


def _yuv(subsampled: bool) -> Callable[[Words], Step]:
    def standard(words: Words) -> tuple[YuvMatrix, YuvRange]:
        matrices: tuple[YuvMatrix, ...] = ("601", "709")
        ranges: tuple[YuvRange, ...] = ("limited", "full")
        return words.choice("the matrix", matrices), words.choice("the range", ranges)

    def parse(words: Words) -> Step:
        written = standard(words)
        return Yuv(written, standard(words) if words.skip("read") else written, subsampled)

    return parse


def _scale(words: Words) -> Step:
    values = words.numbers("the factor")
    return Scale(values[0]) if len(values) == 1 else Normalize((0.0,), values, multiply=True)


def _mean(words: Words) -> Step:
    mean = words.numbers("the mean")
    if words.skip("std"):
        return Normalize(mean, words.numbers("the std"))
    if words.peek() in ("scale", "norm"):
        words.take("scale")
        return Normalize(mean, words.numbers("the scale"), multiply=True)
    words.finish(("std", "scale"))
    return Normalize(mean, (1.0,))


def _std(words: Words) -> Step:
    return Normalize((0.0,), words.numbers("the std"))


def _nc1hwc2(words: Words) -> Step:
    return Layout("nc1hwc2", words.pixels("the channels of a block"))


def _align(words: Words) -> Step:
    axes: tuple[Axis, ...] = ("width", "height", "channel")
    axis = words.choice("the axis", axes)
    multiple = words.pixels("the multiple")
    return Align(axis, multiple, words.number("the value") if words.skip("value") else 0.0)


_PARSERS: dict[str, Callable[[Words], Step]] = {
    "decode": _decode,
    "rgb": lambda _: Color("rgb"),
    "bgr": lambda _: Color("bgr"),
    "gray": _gray,
    "grey": _gray,
    "resize": _resize,
    "letterbox": _letterbox,
    "fit": _fit,
    "pad": _pad,
    "center-crop": _center_crop,
    "crop": _crop,
    "flip": _flip,
    "rotate": _rotate,
    "nv12": _yuv(subsampled=True),
    "yuv444": _yuv(subsampled=False),
    "scale": _scale,
    "norm": _scale,
    "mean": _mean,
    "std": _std,
    "offset": lambda words: Offset(words.integer("the offset")),
    "reinterpret": lambda words: Reinterpret(words.choice("the type", ("int8", "uint8"))),
    "nchw": lambda _: Layout("nchw"),
    "nhwc": lambda _: Layout("nhwc"),
    "chw": lambda _: Layout("chw"),
    "hwc": lambda _: Layout("hwc"),
    "nc1hwc2": _nc1hwc2,
    "align": _align,
}
_DTYPE_STEPS: dict[str, Step] = {name: Cast(name) for name in DTYPES}
STEP_WORDS = (*_PARSERS, *DTYPES)


def parse_step(text: str, also_known: Sequence[str] = ()) -> Step:
    """Read one step, for instance ``letterbox 640 pad 114`` or ``/255``.

    Args:
        text: the step without the separating bars.
        also_known: further words, such as presets, to offer when the first word is unknown.

    Raises:
        InputError: naming the word at fault and the nearest valid one.
    """
    words = Words(text)
    first = words.take("a step")
    if first[0] in "/*" and len(first) > 1:
        step: Step = Scale(parse_number(first[1:]), divide=first[0] == "/")
    elif first in _DTYPE_STEPS:
        step = _DTYPE_STEPS[first]
    elif first in _PARSERS:
        step = _PARSERS[first](words)
    else:
        raise unknown(first, text.strip(), (*STEP_WORDS, *also_known))
    words.finish()
    return step
