"""The difference between two pipelines, trait by trait, in words and slugs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qdebug.preprocess.normalization import NOTICEABLE_CODES, difference_in_codes, explain
from qdebug.preprocess.numbers import format_number, rounded
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    GEOMETRIC,
    SIZED,
    Crop,
    Resampler,
    Rotate,
    Step,
    YuvMatrix,
    YuvRange,
)
from qdebug.preprocess.traits import Padding, Traits, traits_of

Weight = Literal["mistake", "contract", "soft", "slight", "benign"]
"""A mistake is always wrong; a contract is wrong where the model's input is declared as the
reference says; a soft difference is as bad as its effect; a slight one only if that is large; a
benign one is not bad."""

NUMERIC = frozenset(
    {
        "double-normalization",
        "missing-normalization",
        "missing-scale",
        "std-not-scaled",
        "integer-offset",
    }
)
"""The slugs that are about gain and offset alone."""
_PAD_TOLERANCE = 0.3
_SLIGHT_CODES = 2.0


@dataclass(frozen=True)
class Difference:
    """One trait in which a pipeline departs from its reference."""

    slug: str
    sentence: str
    reference: str
    """The trait in the reference, in spec words where there are any."""
    found: str
    weight: Weight = "mistake"
    invented: bool = False
    """Whether it is a mean and std that is nobody's convention."""
    nearest: bool = False
    """Whether it is the nearest of many sizes, places or filters that were tried."""


def differences(reference: PreprocessSpec, other: PreprocessSpec) -> list[Difference]:
    """Name every trait in which ``other`` differs from ``reference``, gravest first."""
    one, two = traits_of(reference), traits_of(_turned_first(reference, other))
    checks = (
        _values, _sign, _layout, _alignment, _orientation, _geometry,
        _padding, _yuv, _resampler, _decoder, _dtype,
    )  # fmt: skip
    return [difference for check in checks for difference in check(one, two)]


def _turned_first(reference: PreprocessSpec, other: PreprocessSpec) -> PreprocessSpec:
    """Write a picture that is placed and then turned by 90 degrees as turned and then placed."""
    steps = other.steps
    turns = [k for k, s in enumerate(steps) if isinstance(s, Rotate) and s.degrees != 180]
    if not turns or any(isinstance(s, Rotate) for s in reference.steps):
        return other
    moved = [k for k, s in enumerate(steps[: turns[0]]) if isinstance(s, GEOMETRIC)]
    if not moved:
        return other
    before = (_transposed(s) for s in steps[: turns[0]])
    return PreprocessSpec((*before, *steps[turns[0] :]))


def _transposed(step: Step) -> Step:
    """Exchange width and height of a step."""
    if isinstance(step, SIZED) and step.size:
        return replace(step, size=(step.size[1], step.size[0]))
    if isinstance(step, Crop):
        return Crop((step.size[1], step.size[0]), (step.origin[1], step.origin[0]))
    return step


def _values(one: Traits, two: Traits) -> Iterator[Difference]:
    """Compare colour order and normalization, which explain each other."""
    if (one.order == "gray") != (two.order == "gray"):
        words = "gray" if two.order == "gray" else "colour"
        sentence = f"the tensor is {words} where the reference is {_color_words(one)}"
        yield Difference("grayscale", sentence, one.order, two.order)
    if len(one.affine.gain) != len(two.affine.gain):
        return
    swapped = {one.order, two.order} == {"rgb", "bgr"}
    for named in explain(one.affine, two.affine, swapped):
        colors = named.slug == "channel-order"
        right, found = (one.order, two.order) if colors else (_numbers(one), _numbers(two))
        slight = not colors and difference_in_codes(one.affine, two.affine) <= _SLIGHT_CODES
        weight: Weight = "soft" if slight else "mistake"
        yield Difference(named.slug, named.sentence, right, found, weight, named.invented)


def _color_words(traits: Traits) -> str:
    return "gray" if traits.order == "gray" else "colour"


def _numbers(traits: Traits) -> str:
    mean = ",".join(format_number(rounded(m, 6) + 0.0) for m in traits.affine.mean)
    std = ",".join(format_number(rounded(s, 6)) for s in traits.affine.std)
    return f"mean {mean} std {std} on 0..255"


def _sign(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.reinterpreted != two.reinterpreted:
        read = two.reinterpreted or one.reinterpreted
        right = "uint8" if read == "int8" else "int8"
        sentence = f"{right} bytes are read as {read}: half of the values jump by 256"
        found, reference = two.reinterpreted or "as written", one.reinterpreted or "as written"
        yield Difference("sign-misread", sentence, reference, found)


def _layout(one: Traits, two: Traits) -> Iterator[Difference]:
    """A stated layout is a contract, not a mistake; a false label is found by recovery."""
    if one.layout != two.layout:
        names = one.layout.name.upper(), two.layout.name.upper()
        sentence = f"the layout is {names[1]} where the reference is {names[0]}"
        yield Difference("layout", sentence, *names, "benign")


def _alignment(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.aligned != two.aligned:
        found = ", ".join(f"{a.axis} aligned to {a.multiple}" for a in two.aligned) or "not aligned"
        right = ", ".join(f"{a.axis} aligned to {a.multiple}" for a in one.aligned) or "not aligned"
        yield Difference("row-stride", f"the tensor is {found}", right, found, "benign")


_ORIENTATIONS = {
    (1, 0, 0, 1): "upright",
    (-1, 0, 0, 1): "mirrored left to right",
    (1, 0, 0, -1): "mirrored top to bottom",
    (-1, 0, 0, -1): "turned by 180 degrees",
    (0, -1, 1, 0): "turned by 90 degrees",
    (0, 1, -1, 0): "turned by 270 degrees",
    (0, 1, 1, 0): "transposed (rows and columns exchanged)",
    (0, -1, -1, 0): "transposed and turned by 180 degrees",
}


def _orientation(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.decode.exif != two.decode.exif:
        right = "with its EXIF orientation " + ("applied" if one.decode.exif else "ignored")
        found = "with its EXIF orientation " + ("applied" if two.decode.exif else "ignored")
        yield Difference("flip-rotate", f"the picture is fed {found}", right, found)
    if one.orientation != two.orientation:
        names = _ORIENTATIONS[one.orientation], _ORIENTATIONS[two.orientation]
        if (one.orientation, two.orientation) == ((1, 0, 0, 1), (0, 1, 1, 0)):
            words = "rows and columns are exchanged: the layout is NCWH"
            yield Difference("layout", words, "NCHW", "NCWH")
            return
        yield Difference("flip-rotate", f"the picture is {names[1]}", *names)


def _geometry(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.geometry_text == two.geometry_text:
        return
    names = one.geometry_text, two.geometry_text
    if one.geometry != two.geometry:
        sentence = f"the picture is fed with {_named(two)} where the reference has {_named(one)}"
        if one.geometry == "none":
            names = "the reference's own geometry", names[1]
            sentence = f"the picture is fed with {_named(two)}, the reference is placed otherwise"
        yield Difference("resize-geometry", sentence, *names)
    elif _cut_elsewhere(one, two):
        sentence = f"the same size is cut out elsewhere: '{names[1]}', the reference '{names[0]}'"
        yield Difference("resize-geometry", sentence, *names, "soft", nearest=True)
    elif one.size != two.size or (one.geometry == "crop" and not _same_but_rounding(*names)):
        sentence = f"the geometry is '{names[1]}' where the reference has '{names[0]}'"
        yield Difference("resize-geometry", sentence, *names, nearest=one.size == two.size)
    else:
        sentence = f"the same {one.geometry} with another rounding or option: '{names[1]}'"
        yield Difference("resize-geometry", sentence, *names, "soft", nearest=True)


def _cut_elsewhere(one: Traits, two: Traits) -> bool:
    """Whether two crops of the same scaled picture have another place."""
    before = (one.geometry_text.rpartition(" | ")[0], two.geometry_text.rpartition(" | ")[0])
    same = one.geometry == two.geometry == "crop" and _same_but_rounding(*before)
    return same and one.size == two.size and " at " in two.geometry_text


def _same_but_rounding(one: str, two: str) -> bool:
    return _unrounded(one) == _unrounded(two)


def _unrounded(text: str) -> str:
    for rule in (" floor", " round", " ceil"):
        text = text.replace(rule, "")
    return text


def _named(traits: Traits) -> str:
    articles = {"none": "no resize", "fit": "a fit without padding", "crop": "a centre crop"}
    return articles.get(traits.geometry, f"a {traits.geometry}")


def _padding(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.padding is None or two.padding is None:
        return
    right, found = np.array(one.padding.codes), np.array(two.padding.codes)
    if right.shape != found.shape or np.abs(right - found).max() <= _PAD_TOLERANCE:
        return
    names = _pad_words(one.padding), _pad_words(two.padding)
    yield Difference(
        "pad-value", f"the border is {names[1]} where the reference has {names[0]}", *names, "soft"
    )


def _pad_words(padding: Padding) -> str:
    if padding.normalized:
        value = ",".join(f"{rounded(v, 4):g}" for v in dict.fromkeys(padding.value))
        return f"{value} after the normalization"
    return ",".join(f"{rounded(c, 4):g}" for c in dict.fromkeys(padding.codes))


def _yuv(one: Traits, two: Traits) -> Iterator[Difference]:
    """Compare which standard the colours are written in and read with."""
    if two.yuv is None or one.yuv == two.yuv:
        return
    (matrix, span), (read_matrix, read_span) = two.yuv.written, two.yuv.read
    if span != read_span:
        sentence = f"{span}-range YUV is read as {read_span} range"
        yield Difference("yuv-range", sentence, span, read_span, "soft")
    if matrix != read_matrix:
        sentence = f"BT.{matrix} YUV is read as BT.{read_matrix}"
        yield Difference("yuv-matrix", sentence, _bt(matrix), _bt(read_matrix), "soft")
    if two.yuv.written == two.yuv.read:
        sentence = "the picture went through YUV: the loss of chroma that this brings, no more"
        yield Difference("decoder-difference", sentence, "RGB", "YUV and back", "benign")


def _bt(matrix: YuvMatrix | YuvRange) -> str:
    return f"BT.{matrix}"


def _resampler(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.resampler != two.resampler and one.resampler and two.resampler:
        names = _resampler_words(one.resampler), _resampler_words(two.resampler)
        sentence = f"the picture is resized with {names[1]} instead of {names[0]}"
        yield Difference("interpolation", sentence, *names, "soft", nearest=True)


def _resampler_words(resampler: Resampler) -> str:
    library = {"cv2": "cv2", "pil": "Pillow", "float": "float"}[resampler.library]
    return f"{library} {resampler.filter}"


def _decoder(one: Traits, two: Traits) -> Iterator[Difference]:
    if one.decode.library != two.decode.library:
        names = one.decode.library, two.decode.library
        sentence = f"{names[1]} decoded the picture, the reference uses {names[0]}"
        yield Difference("decoder-difference", sentence, *names, "benign")


def _dtype(one: Traits, two: Traits) -> Iterator[Difference]:
    """Another data type with the same values is a contract of the graph, not a mistake."""
    same = (
        difference_in_codes(one.affine, two.affine) <= NOTICEABLE_CODES
        if _alike(one, two)
        else True
    )
    if one.dtype != two.dtype and same:
        sentence = f"the values are the same, held as {two.dtype} instead of {one.dtype}"
        yield Difference("layout", sentence, one.dtype, two.dtype, "benign")


def _alike(one: Traits, two: Traits) -> bool:
    return len(one.affine.gain) == len(two.affine.gain)
